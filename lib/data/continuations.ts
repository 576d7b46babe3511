// A prompt and the texts that may follow it, as tokens: completions and options alike.
import type { Text } from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import type { EncodedRow, RowPlan } from "./row-plan.js";

type Ids = readonly number[];

export interface Continuations {
  /** Ids before the prompt; none for a prompt that is ids itself. */
  prefix: Ids;
  prompt: Ids;
  /** What follows, each on its own. */
  rests: readonly Ids[];
  /** The prompt's tokens did not begin those of prompt + text, so the texts were encoded alone. */
  encodedApart: boolean;
}

const isText = (text: Text): text is string => typeof text === "string";

function startsWith(ids: Ids, start: Ids): boolean {
  return ids.length >= start.length && start.every((id, i) => ids[i] === id);
}

/**
 * Texts are encoded behind their prompt, so that a space at the seam belongs to the token it belongs
 * to there. On its own, a tokenizer that starts every text with a space must not get the text's as
 * well.
 */
export function planContinuations(
  prompt: Text,
  continuations: readonly Text[],
  tokenizer: TextEncoder,
  finish: (tokens: Continuations) => EncodedRow,
): RowPlan {
  const texts = continuations.filter(isText);
  const alone = texts.map((text) => (tokenizer.prefixesSpace ? text.replace(/^ /, "") : text));
  const behind = isText(prompt) && texts.length === continuations.length;
  return {
    texts: [
      ...(isText(prompt) ? [prompt] : []),
      ...(behind ? texts.map((text) => prompt + text) : alone),
    ],
    async finish(encodings) {
      let next = 0;
      const take = (text: Text): Ids => (isText(text) ? (encodings[next++]?.ids ?? []) : text);
      const asked = take(prompt);
      let rests = continuations.map(take);
      const encodedApart = behind && !rests.every((ids) => startsWith(ids, asked));
      if (encodedApart) rests = await tokenizer.encode(alone);
      else if (behind) rests = rests.map((ids) => ids.slice(asked.length));
      const prefix = isText(prompt) ? tokenizer.prefix : [];
      return finish({ prefix, prompt: asked, rests, encodedApart });
    },
  };
}
