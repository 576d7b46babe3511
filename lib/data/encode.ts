// From examples (texts) to sequences (token ids), many at once.
import { Zo2Error } from "../errors.js";
import { type Example, RowError } from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import { planChat } from "./encode-chat.js";
import { planCompletion, planText } from "./encode-text.js";
import { planGeneration, planOptions } from "./encode-options.js";
import type { EncodedRow, Limits, RowPlan } from "./row-plan.js";

/** Rows of token ids need no tokenizer, and may have none. */
function holdsText(example: Example): boolean {
  if ("messages" in example) return true;
  if ("text" in example) return typeof example.text === "string";
  const rest = "options" in example ? example.options : [example.completion];
  return [example.prompt, ...rest].some((text) => typeof text === "string");
}

const noTokenizer: TextEncoder = {
  prefix: [],
  suffix: [],
  eos: undefined,
  prefixesSpace: false,
  encode: async () => [],
  encodings: async () => [],
  decode: async () => [],
  chatTemplate() {
    throw new Zo2Error("ZO2_INTERNAL", "a chat template was asked for without a tokenizer");
  },
};

function planOf(example: Example, tokenizer: TextEncoder, limits: Limits): RowPlan {
  if ("messages" in example) return planChat(example, tokenizer, limits);
  if ("text" in example) return planText(example, tokenizer, limits);
  if ("options" in example) return planOptions(example, tokenizer, limits);
  if ("answers" in example) return planGeneration(example, tokenizer, limits);
  return planCompletion(example, tokenizer, limits);
}

async function attempt<T>(work: () => T | Promise<T>): Promise<T | RowError> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RowError) return error;
    throw error;
  }
}

/**
 * Encodes examples together. A text to be predicted gets the tokens that transformers puts around
 * it; a prompt gets those before it.
 * @returns for each example its row, or the reason why it has none
 */
export async function encodeExamples(
  examples: readonly Example[],
  encoder: () => Promise<TextEncoder>,
  limits: Limits,
): Promise<(EncodedRow | RowError)[]> {
  const tokenizer = examples.some(holdsText) ? await encoder() : noTokenizer;
  const plans: (RowPlan | RowError)[] = [];
  for (const example of examples) {
    plans.push(await attempt(() => planOf(example, tokenizer, limits)));
  }
  const texts = plans.flatMap((plan) => (plan instanceof RowError ? [] : plan.texts));
  const encodings = await tokenizer.encodings(texts);
  const rows: (EncodedRow | RowError)[] = [];
  let next = 0;
  for (const plan of plans) {
    if (plan instanceof RowError) {
      rows.push(plan);
      continue;
    }
    const own = encodings.slice(next, next + plan.texts.length);
    next += own.length;
    rows.push(await attempt(() => plan.finish(own)));
  }
  return rows;
}
