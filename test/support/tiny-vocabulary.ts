// GGUF metadata of vocabularies small enough to work out their ids by hand.

const bytes = Array.from({ length: 256 }, (_, byte) => byte);

/** GPT-2's character for each byte. */
function letters(): string[] {
  let next = 0x100;
  return bytes.map((byte) => {
    const own = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCodePoint(own ? byte : next++);
  });
}

/** Byte-level BPE: ids 0-255 are the bytes, then " b", "ad", " bad", and two control tokens. */
export function byteLevelMetadata(extra: Record<string, unknown> = {}): Record<string, unknown> {
  const tokens = [...letters(), "\u0120b", "ad", "\u0120bad", "<|start|>", "<|end|>"];
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "default",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": tokens.map((token) => (token.startsWith("<|") ? 3 : 1)),
    "tokenizer.ggml.merges": ["\u0120 b", "a d", "\u0120b ad"],
    "tokenizer.ggml.bos_token_id": 259,
    "tokenizer.ggml.eos_token_id": 260,
    ...extra,
  };
}

/** SentencePiece: <unk>, <s>, </s>, the bytes (ids 3-258), then pieces with scores. */
export function sentencePieceMetadata(
  extra: Record<string, unknown> = {},
): Record<string, unknown> {
  const pieces = ["\u2581a", "\u2581ab", "bc", "\u2581", "a", "b", "c"];
  const fallback = bytes.map((byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = ["<unk>", "<s>", "</s>", ...fallback, ...pieces];
  return {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.scores": tokens.map((_, id) => (id < 259 ? 0 : 259 - id)),
    "tokenizer.ggml.token_type": tokens.map((_, id) =>
      id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1,
    ),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
    ...extra,
  };
}
