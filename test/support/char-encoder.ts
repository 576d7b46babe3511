// Loading rows with a tokenizer that one can follow by eye.
import { type LoadedData, loadData } from "../../dist/data/load.js";
import { taskOf } from "../../dist/tasks/registry.js";
import type { Task, TaskSettings } from "../../dist/tasks/task.js";
import { ChatTemplate } from "../../dist/tokenizer/chat-template.js";
import type { Encoding, TextEncoder } from "../../dist/tokenizer/tokenizer.js";

/** A token per character, except that "ab" is one token (3), "<" is 1 and ">" is 2. */
function encoding(text: string): Encoding {
  const named: Record<string, number> = { "<": 1, ">": 2, ab: 3 };
  const ids: number[] = [];
  const offsets: [number, number][] = [];
  let at = 0;
  for (const [piece] of text.matchAll(/ab|./gsu)) {
    ids.push(named[piece] ?? piece.codePointAt(0) ?? 0);
    offsets.push([at, (at += Array.from(piece).length)]);
  }
  return { ids, offsets: () => offsets };
}

/** <s> is 1, </s> is 2; the chat template is the one given. */
export function charEncoder(
  settings: Partial<TextEncoder> & { template?: string } = {},
): TextEncoder {
  const { template = "", ...rest } = settings;
  return {
    prefix: [1],
    suffix: [2],
    eos: 2,
    prefixesSpace: false,
    encode: async (texts) => texts.map((text) => encoding(text).ids),
    decode: async (lists) => lists.map((ids) => ids.map((id) => String.fromCodePoint(id)).join("")),
    encodings: async (texts) => texts.map(encoding),
    chatTemplate: (source) =>
      new ChatTemplate(source ?? template, { bos_token: "<", eos_token: ">" }),
    ...rest,
  };
}

export const codes = (text: string): number[] =>
  Array.from(text, (c) => (c === "<" ? 1 : c === ">" ? 2 : (c.codePointAt(0) ?? 0)));

export function makeTask(settings: Partial<TaskSettings> = {}): Task {
  return taskOf({
    task: "lm",
    labelField: "label",
    promptField: "prompt",
    completionField: "completion",
    messagesField: "messages",
    completionOnlyLoss: true,
    ...settings,
  });
}

export function load(
  source: string | Record<string, unknown>[],
  settings: Partial<TaskSettings> = {},
  maxLength = 20,
  encoder: TextEncoder = charEncoder(),
): Promise<LoadedData> {
  const limits = { maxLength, vocabSize: 200_000 };
  const task = makeTask(settings);
  return loadData({ source, task, encoder: async () => encoder, limits, keepRows: true });
}

export function sequences({ rows }: LoadedData): number[][] {
  const { tokens, sequenceOffsets } = rows;
  return Array.from(rows.labelStart, (_, i) =>
    Array.from(tokens.subarray(sequenceOffsets[i], sequenceOffsets[i + 1])),
  );
}

/** The labels of each sequence as text, "_" for tokens that are only read. */
export function labels({ rows }: LoadedData): string[] {
  const { tokens, sequenceOffsets, labelStart, labelMask } = rows;
  const names: Record<number, string> = { 1: "<", 2: ">", 3: "ab" };
  return Array.from(labelStart, (first, i) => {
    const [start = 0, end = 0] = sequenceOffsets.subarray(i, i + 2);
    return Array.from(tokens.subarray(start, end), (id, at) => {
      const isLabel = at >= first && (labelMask?.[start + at] ?? 1) === 1;
      return isLabel ? (names[id] ?? String.fromCodePoint(id)) : "_";
    }).join("");
  });
}
