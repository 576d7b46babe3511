// Conversations as OpenAI and TRL have them: a list of messages, or a prompt and a completion that
// are lists of messages; also TRL's `tools` and `chat_template_kwargs`.
import { readFileSync } from "node:fs";
import { invalid } from "../config/problems.js";
import { fromIo } from "../errors.js";
import { defineTask } from "./define.js";
import { convert } from "./fields.js";
import { type ChatMessage, RowError, type Task, type TaskSettings } from "./task.js";

type Messages = readonly ChatMessage[];

/**
 * @param name what the configuration calls the file
 * @throws Zo2Error ZO2_INVALID_CONFIG
 */
export function readChatTemplate(path: string, name: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw invalid(`${name}: ${fromIo(error, "read", path).message}`, error);
  }
}

/** TRL allows JSON here, which columns of a table hold more easily. */
function toolsOf(value: unknown): readonly unknown[] | undefined {
  if (value === undefined || value === "") return undefined;
  try {
    const tools = convert("list", typeof value === "string" ? JSON.parse(value) : value);
    if (tools) return tools.length > 0 ? tools : undefined;
  } catch {}
  throw new RowError('field "tools" is not a list of JSON schemas');
}

export function chat(settings: TaskSettings): Task {
  const { messagesField, promptField, completionField, completionOnlyLoss } = settings;
  const template =
    settings.chatTemplate && readChatTemplate(settings.chatTemplate, "data.chatTemplate");
  const part = (row: Readonly<Record<string, unknown>>, field: string): Messages => {
    const value = row[field];
    if (Array.isArray(value)) return value as Messages;
    throw new RowError(
      value === undefined
        ? `neither "${messagesField}" nor "${promptField}" with "${completionField}" is there`
        : `field "${field}" is not a list of messages; for texts use task "completion"`,
    );
  };
  return defineTask({
    name: "chat",
    kind: "lm",
    // Data sets that have messages often have a prompt as well, as text.
    fields: {
      [messagesField]: "list?",
      [promptField]: "any?",
      [completionField]: "any?",
      tools: "any?",
      chat_template_kwargs: "any?",
    },
    example(row) {
      const whole = row[messagesField] as Messages | undefined;
      const prompt = whole ? [] : part(row, promptField);
      return {
        messages: whole ?? [...prompt, ...part(row, completionField)],
        promptMessages: prompt.length,
        predictPrompt: !completionOnlyLoss,
        tools: toolsOf(row.tools),
        variables: row.chat_template_kwargs as Record<string, unknown> | undefined,
        template,
      };
    },
  });
}
