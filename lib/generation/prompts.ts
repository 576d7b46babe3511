// Prompts as users give them, as token ids.
import { extname } from "node:path";
import { invalid, show } from "../config/problems.js";
import type { Prompt, ResolvedGenerateConfig } from "../config/types.js";
import { readRows } from "../data/formats.js";
import { readLines } from "../data/lines.js";
import { messageOf, Zo2Error } from "../errors.js";
import { readChatTemplate } from "../tasks/chat.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import { isPrompt } from "./are-prompts.js";

/** Where a prompt was given, for messages, and what it is. */
interface Given {
  place: string;
  prompt: Prompt;
}

function unusable(place: string, problem: string, cause?: unknown): Zo2Error {
  return new Zo2Error("ZO2_INVALID_DATA", `${place} ${problem}`, { cause });
}

async function readPrompts(path: string): Promise<Given[]> {
  const all: Given[] = [];
  if (extname(path) === ".txt") {
    for await (const { line, text } of readLines(path)) {
      const place = `${path}, line ${line}:`;
      if (text === undefined) throw unusable(place, "is not valid UTF-8");
      if (text !== "") all.push({ place, prompt: text });
    }
  } else {
    for await (const placed of readRows(path)) {
      const place = `${path}, line ${placed.line}:`;
      if ("reason" in placed) throw unusable(place, placed.reason);
      const prompt = placed.row.messages ?? placed.row.prompt;
      if (!isPrompt(prompt)) {
        const problem = `needs "prompt" (a text) or "messages" (a list), not ${show(placed.row)}`;
        throw unusable(place, problem);
      }
      all.push({ place, prompt });
    }
  }
  if (all.length === 0) throw unusable(path, "holds no prompts");
  return all;
}

function given(prompts: Prompt | Prompt[]): Given[] {
  if (isPrompt(prompts)) return [{ place: "prompts", prompt: prompts }];
  return prompts.map((prompt, index) => ({ place: `prompts[${index}]`, prompt }));
}

export interface PromptSettings
  extends Pick<ResolvedGenerateConfig, "prompts" | "promptsFile" | "chat" | "chatTemplate"> {
  /** Directory of the run whose configuration names `chatTemplate`; undefined: it was given. */
  templateOf?: string | undefined;
}

/** The text of a chat template file, if there is one. @throws Zo2Error ZO2_INVALID_CONFIG */
function readTemplate({ chatTemplate, templateOf }: PromptSettings): string | undefined {
  if (chatTemplate === undefined) return undefined;
  try {
    return readChatTemplate(chatTemplate, "chatTemplate");
  } catch (error) {
    if (templateOf === undefined) throw error;
    const advice = "give chatTemplate to say where it is now, or another";
    throw invalid(`${messageOf(error)}; ${templateOf} was started with it; ${advice}`, error);
  }
}

/**
 * The ids of every prompt: a text as the tokenizer begins one, messages as the chat template has
 * them with the prompt for the assistant. @throws Zo2Error
 */
export async function encodePrompts(
  settings: PromptSettings,
  encoder: TextEncoder,
): Promise<number[][]> {
  const { prompts, promptsFile, chat, templateOf } = settings;
  if (prompts === undefined && promptsFile === undefined) throw invalid("prompts is missing");
  const all =
    promptsFile === undefined
      ? given(prompts as Prompt | Prompt[])
      : await readPrompts(promptsFile);
  // A run's may be gone, which matters to conversations alone; a wrong name given now always does.
  let source = templateOf === undefined ? readTemplate(settings) : undefined;
  const texts = all.map(({ place, prompt }) => {
    if (typeof prompt === "string" && !chat) return prompt;
    const messages = typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;
    source ??= readTemplate(settings);
    const template = encoder.chatTemplate(source);
    try {
      return template.render({ messages, addGenerationPrompt: true }).text;
    } catch (error) {
      throw unusable(place, `cannot be used: the chat template says: ${messageOf(error)}`, error);
    }
  });
  const ids = await encoder.encode(texts);
  return all.map(({ place, prompt }, index) => {
    const plain = typeof prompt === "string" && !chat;
    const own = [...(plain ? encoder.prefix : []), ...(ids[index] ?? [])];
    if (own.length === 0) throw unusable(place, "has no tokens; give some text");
    return own;
  });
}
