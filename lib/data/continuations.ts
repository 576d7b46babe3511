// A prompt and the texts that may follow it, as tokens: completions and options alike.
import type { Text } from "../tasks/task.js";
import type { Encoding, TextEncoder } from "../tokenizer/tokenizer.js";
import type { EncodedRow, RowPlan } from "./row-plan.js";

type Ids = readonly number[];

/** One text behind the prompt. */
export interface Continuation {
  /** Ids of the prompt. */
  start: Ids;
  /** Ids of the text. */
  rest: Ids;
}
export interface Continuations {
  /** Ids before the prompt; none for a prompt that is ids itself. */
  prefix: Ids;
  /** Each of the texts. Those of options of one prompt mostly have the same `start`. */
  each: readonly Continuation[];
  /** The prompt's tokens did not begin those of prompt + text, so the texts were encoded alone. */
  encodedApart: boolean;
}
export interface Prompted {
  /** Text before the prompt. */
  context?: string | undefined;
  prompt: Text;
  continuations: readonly Text[];
}

const isText = (text: Text): text is string => typeof text === "string";

function startsWith(ids: Ids, start: Ids): boolean {
  return ids.length >= start.length && start.every((id, i) => ids[i] === id);
}

const idsOf = (encoding: Encoding | undefined): Ids => encoding?.ids ?? [];

/**
 * As MeZO counts: a text has as many tokens as it adds to its prompt. Its context may melt into the
 * prompt, which moves none of these.
 */
function planInContext(
  context: string,
  prompt: string,
  texts: readonly string[],
  { prefix }: TextEncoder,
  finish: (tokens: Continuations) => EncodedRow,
): RowPlan {
  const whole = texts.map((text) => prompt + text);
  return {
    texts: [prompt, ...whole, ...whole.map((text) => context + text)],
    finish(encodings) {
      const { length } = idsOf(encodings[0]);
      const each = texts.map((_, i) => {
        const added = idsOf(encodings[1 + i]).length - length;
        const ids = idsOf(encodings[1 + texts.length + i]);
        const end = ids.length - Math.max(0, added);
        return { start: ids.slice(0, end), rest: ids.slice(end) };
      });
      return finish({ prefix, each, encodedApart: false });
    },
  };
}

/**
 * Texts are encoded behind their prompt, so that a space at the seam belongs to the token it belongs
 * to there. On its own, a tokenizer that starts every text with a space must not get the text's as
 * well.
 */
export function planContinuations(
  { context = "", prompt, continuations }: Prompted,
  tokenizer: TextEncoder,
  finish: (tokens: Continuations) => EncodedRow,
): RowPlan {
  const texts = continuations.filter(isText);
  const alone = texts.map((text) => (tokenizer.prefixesSpace ? text.replace(/^ /, "") : text));
  const behind = isText(prompt) && texts.length === continuations.length;
  if (behind && context !== "") return planInContext(context, prompt, texts, tokenizer, finish);
  return {
    texts: [
      ...(isText(prompt) ? [prompt] : []),
      ...(behind ? texts.map((text) => prompt + text) : alone),
    ],
    async finish(encodings) {
      let next = 0;
      const take = (text: Text): Ids => (isText(text) ? idsOf(encodings[next++]) : text);
      const start = take(prompt);
      let rests = continuations.map(take);
      const encodedApart = behind && !rests.every((ids) => startsWith(ids, start));
      if (encodedApart) rests = await tokenizer.encode(alone);
      else if (behind) rests = rests.map((ids) => ids.slice(start.length));
      const prefix = isText(prompt) ? tokenizer.prefix : [];
      return finish({ prefix, each: rests.map((rest) => ({ start, rest })), encodedApart });
    },
  };
}
