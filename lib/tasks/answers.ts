// How right an answer in words is: SQuAD's normalisation, F1 and exact match (Rajpurkar et al. 2016,
// arXiv 1606.05250), as MeZO counts them.

// As Python has them: words may be of any script, punctuation is ASCII's.
const punctuation = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~]/g;
const article = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

/** A text in lower case, without punctuation and articles, one space between words. */
export function normalizeAnswer(text: string): string {
  return words(text).join(" ");
}

function words(text: string): string[] {
  const bare = text.toLowerCase().replace(punctuation, "").replace(article, " ");
  return bare.split(/\s+/).filter((word) => word !== "");
}

/** Whether an answer is one of the right ones, both normalised. */
export function exactMatch(answer: string, right: readonly string[]): number {
  const own = normalizeAnswer(answer);
  return Number(right.some((text) => normalizeAnswer(text) === own));
}

function wordF1(answer: readonly string[], right: readonly string[]): number {
  const left = new Map<string, number>();
  for (const word of right) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of answer) {
    const times = left.get(word) ?? 0;
    if (times > 0) common += 1;
    left.set(word, times - 1);
  }
  if (common === 0) return 0;
  const [precision, recall] = [common / answer.length, common / right.length];
  return (2 * precision * recall) / (precision + recall);
}

/** Answers that say that there is none. */
const noAnswers = ["CANNOTANSWER", "no answer"];

/**
 * Of words, the harmonic mean of the share of an answer's that are right and the share of a right
 * answer's that are there; of several right answers the best. From 0 to 1. Where the first right answer
 * is that there is none, only saying so counts.
 */
export function answerF1(answer: string, right: readonly string[]): number {
  const [first = ""] = right;
  if (noAnswers.includes(first)) return exactMatch(answer, [first]);
  const own = words(answer);
  return Math.max(0, ...right.map((text) => wordF1(own, words(text))));
}
