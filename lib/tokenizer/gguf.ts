// A tokenizer.json from a GGUF file's metadata, with the ids that transformers 5 gives
// (AutoTokenizer.from_pretrained(dir, gguf_file=...)).
import { Zo2Error } from "../errors.js";
import {
  byteLevelDecoder,
  byteLevelModel,
  byteLevelPreTokenizer,
  isSpelled,
  spell,
} from "./byte-level.js";
import { mergesFromScores, metaspace, sentencePieceDecoder } from "./sentencepiece.js";
import {
  type AddedToken,
  addedToken,
  bpe,
  type Marker,
  type TokenizerJson,
  templateProcessing,
} from "./tokenizer-json.js";

/** GGUF metadata by key. */
export type GgufMetadata = Readonly<Record<string, unknown>>;

/** What a directory of Hugging Face files holds of a tokenizer. */
export interface RebuiltTokenizer {
  /** tokenizer.json */
  tokenizer: TokenizerJson;
  /** tokenizer_config.json */
  config: Record<string, unknown>;
}

// Values of tokenizer.ggml.token_type.
const control = 3;
const userDefined = 4;

/** Typed access to the keys under tokenizer.ggml. */
class Reader {
  constructor(
    private readonly metadata: GgufMetadata,
    private readonly file: string,
  ) {}

  invalid(key: string, problem: string): Zo2Error {
    const name = `tokenizer.ggml.${key}`;
    return new Zo2Error("ZO2_INVALID_MODEL", `${this.file}: ${name} ${problem}`);
  }
  /** GGUF arrays may arrive as typed arrays or as lists. */
  list(key: string): readonly unknown[] | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    if (value === undefined) return undefined;
    if (Array.isArray(value)) return value;
    if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>);
    throw this.invalid(key, "is not an array");
  }
  texts(key: string): string[] | undefined {
    return this.list(key)?.map((value) => {
      if (typeof value === "string") return value;
      throw this.invalid(key, "holds something that is not text");
    });
  }
  numbers(key: string): number[] | undefined {
    return this.list(key)?.map(Number);
  }
  text(key: string): string | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    return typeof value === "string" ? value : undefined;
  }
  flag(key: string): boolean | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    return typeof value === "boolean" ? value : undefined;
  }
  /** A special token by the key of its id. */
  marker(key: string, tokens: readonly string[]): Marker | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    if (value === undefined) return undefined;
    const id = Number(value);
    const content = tokens[id];
    if (content === undefined) throw this.invalid(key, `is ${id}, outside the vocabulary`);
    return { content, id };
  }
}

function mergesOf(reader: Reader): [string, string][] | undefined {
  return reader.texts("merges")?.map((merge) => {
    const [left, right, ...more] = merge.split(" ");
    if (left && right && more.length === 0) return [left, right];
    throw reader.invalid("merges", `holds ${JSON.stringify(merge)}, which is not two tokens`);
  });
}

/** The tokens that are never cut: control and user-defined ones, and those with a role. */
function addedTokens(
  tokens: readonly string[],
  types: readonly number[],
  roles: readonly Marker[],
  isByteLevel: boolean,
): AddedToken[] {
  const added = new Map<number, AddedToken>();
  const add = (id: number, content: string, special: boolean): void => {
    if (!added.has(id)) added.set(id, addedToken(id, content, special));
  };
  tokens.forEach((content, id) => {
    // A control token that the byte alphabet cannot spell is a converter's mislabel.
    if (types[id] === control && (!isByteLevel || isSpelled(content))) add(id, content, true);
    if (types[id] === userDefined && (!isByteLevel || isSpelled(content))) add(id, content, false);
  });
  for (const { id, content } of roles) add(id, content, true);
  return [...added.values()].sort((a, b) => a.id - b.id);
}

function byteLevelParts(reader: Reader, tokens: readonly string[]): Partial<TokenizerJson> {
  const merges = mergesOf(reader);
  if (!merges) throw reader.invalid("merges", "is missing");
  const vocab = Object.fromEntries(tokens.map((token, id) => [spell(token), id]));
  return {
    normalizer: null,
    pre_tokenizer: byteLevelPreTokenizer(reader.text("pre")),
    decoder: byteLevelDecoder,
    model: byteLevelModel(vocab, merges),
  };
}

function sentencePieceParts(reader: Reader, tokens: readonly string[]): Partial<TokenizerJson> {
  const scores = reader.numbers("scores");
  const merges = mergesOf(reader) ?? (scores && mergesFromScores(tokens, scores));
  if (!merges) throw reader.invalid("scores", "is missing, and so is tokenizer.ggml.merges");
  const prefixSpace = reader.flag("add_space_prefix") ?? true;
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  return {
    normalizer: null,
    pre_tokenizer: metaspace(prefixSpace),
    decoder: sentencePieceDecoder(prefixSpace),
    model: bpe(vocab, merges, { fuse_unk: true, byte_fallback: true }),
  };
}

/** Whether a GGUF file describes a tokenizer at all; rows of `input_ids` need none. */
export function hasTokenizer(metadata: GgufMetadata): boolean {
  return ["model", "tokens"].some((name) => metadata[`tokenizer.ggml.${name}`] !== undefined);
}

/**
 * Rebuilds the tokenizer that a GGUF file describes.
 * @throws Zo2Error ZO2_INVALID_MODEL, ZO2_UNSUPPORTED_MODEL
 */
export function tokenizerFromGguf(metadata: GgufMetadata, file: string): RebuiltTokenizer {
  const reader = new Reader(metadata, file);
  const model = reader.text("model");
  const tokens = reader.texts("tokens");
  if (model === undefined || !tokens) throw reader.invalid("tokens", "or model is missing");
  const isByteLevel = model === "gpt2";
  if (!isByteLevel && model !== "llama") {
    throw new Zo2Error(
      "ZO2_UNSUPPORTED_MODEL",
      `${file}: tokenizer.ggml.model is "${model}"; supported are "gpt2" and "llama"`,
    );
  }
  const parts = (isByteLevel ? byteLevelParts : sentencePieceParts)(reader, tokens);
  const [bos, eos, unk, pad] = [
    reader.marker("bos_token_id", tokens),
    reader.marker("eos_token_id", tokens),
    reader.marker("unknown_token_id", tokens),
    reader.marker("padding_token_id", tokens),
  ];
  const roles = [bos, eos, unk, pad].filter((marker) => marker !== undefined);
  // A SentencePiece vocabulary that does not say otherwise gets its first token.
  const addBos = reader.flag("add_bos_token") ?? !isByteLevel;
  const addEos = reader.flag("add_eos_token") ?? false;
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(tokens, reader.numbers("token_type") ?? [], roles, isByteLevel),
    post_processor: templateProcessing(addBos ? bos : undefined, addEos ? eos : undefined),
    ...parts,
  } as TokenizerJson;
  const chatTemplate = metadata["tokenizer.chat_template"];
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    add_bos_token: addBos && bos !== undefined,
    add_eos_token: addEos && eos !== undefined,
    ...(bos && { bos_token: bos.content }),
    ...(eos && { eos_token: eos.content }),
    ...(unk && { unk_token: unk.content }),
    ...(pad && { pad_token: pad.content }),
    ...(typeof chatTemplate === "string" && { chat_template: chatTemplate }),
  };
  return { tokenizer, config };
}
