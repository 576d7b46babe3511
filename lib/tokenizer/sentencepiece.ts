// SentencePiece BPE as Llama uses it: a vocabulary with scores, spaces as U+2581, and bytes
// ("<0x0A>") for what the vocabulary lacks.

interface Candidate {
  pair: [string, string];
  score: number;
  lengths: [number, number];
  ids: [number, number];
}

/** Every way to join two tokens into this one. */
function splitsOf(token: string, score: number, vocab: ReadonlyMap<string, number>): Candidate[] {
  const letters = Array.from(token);
  const found: Candidate[] = [];
  let left = "";
  for (let index = 1; index < letters.length; index++) {
    left += letters[index - 1];
    const right = token.slice(left.length);
    const [leftId, rightId] = [vocab.get(left), vocab.get(right)];
    if (leftId === undefined || rightId === undefined) continue;
    const lengths: [number, number] = [index, letters.length - index];
    found.push({ pair: [left, right], score, lengths, ids: [leftId, rightId] });
  }
  return found.sort((a, b) => a.ids[0] - b.ids[0] || a.ids[1] - b.ids[1]);
}

/**
 * The merges that a vocabulary implies, best score first; ties as transformers' generate_merges
 * breaks them (longer parts first, then the order of the vocabulary).
 */
export function mergesFromScores(
  tokens: readonly string[],
  scores: readonly number[],
): [string, string][] {
  const vocab = new Map(tokens.map((token, id) => [token, id]));
  const all = [...vocab].flatMap(([token, id]) => splitsOf(token, scores[id] ?? 0, vocab));
  all.sort(
    (a, b) => b.score - a.score || b.lengths[0] - a.lengths[0] || b.lengths[1] - a.lengths[1],
  );
  return all.map(({ pair }) => pair);
}

/** Puts a space before a text (when `prefixSpace`) and writes spaces as U+2581. */
export function metaspace(prefixSpace: boolean): object {
  const scheme = prefixSpace ? "first" : "never";
  return { type: "Metaspace", replacement: "\u2581", prepend_scheme: scheme, split: false };
}

export function sentencePieceDecoder(prefixSpace: boolean): object {
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  return {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "\u2581" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      ...(prefixSpace ? [strip] : []),
    ],
  };
}
