// The parts of Hugging Face's tokenizer.json that this package reads or writes.

/** A piece of text that is never cut, with the id it has in the vocabulary. */
export interface AddedToken {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

/** tokenizer.json as an object. */
export interface TokenizerJson {
  version: "1.0";
  truncation: null;
  padding: null;
  added_tokens: AddedToken[];
  normalizer: object | null;
  pre_tokenizer: object | null;
  post_processor: object | null;
  decoder: object | null;
  model: BpeModel;
}
export interface BpeModel {
  type: "BPE";
  dropout: null;
  unk_token: string | null;
  continuing_subword_prefix: string | null;
  end_of_word_suffix: string | null;
  fuse_unk: boolean;
  byte_fallback: boolean;
  vocab: Record<string, number>;
  merges: [string, string][];
}

export function addedToken(id: number, content: string, special: boolean): AddedToken {
  const exact = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return { id, content, ...exact, special };
}

export function bpe(
  vocab: Record<string, number>,
  merges: [string, string][],
  settings: Partial<BpeModel>,
): BpeModel {
  const plain = { unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null };
  const flags = { dropout: null, fuse_unk: false, byte_fallback: false };
  return { type: "BPE", ...flags, ...plain, ...settings, vocab, merges };
}

/** A token around every text, by its content and id. */
export interface Marker {
  content: string;
  id: number;
}

/** The post-processor that puts `bos` before and `eos` after a text, as transformers builds it. */
export function templateProcessing(bos: Marker | undefined, eos: Marker | undefined): object {
  const around = (id: "A" | "B", typeId: number): object[] => [
    ...(bos ? [{ SpecialToken: { id: bos.content, type_id: typeId } }] : []),
    { Sequence: { id, type_id: typeId } },
    ...(eos ? [{ SpecialToken: { id: eos.content, type_id: typeId } }] : []),
  ];
  const special = [bos, eos].filter((marker) => marker !== undefined);
  return {
    type: "TemplateProcessing",
    single: around("A", 0),
    pair: [...around("A", 0), ...around("B", 1)],
    special_tokens: Object.fromEntries(
      special.map(({ content, id }) => [content, { id: content, ids: [id], tokens: [content] }]),
    ),
  };
}

export function byteLevel(settings: { prefixSpace: boolean; useRegex: boolean }): object {
  const { prefixSpace, useRegex } = settings;
  return {
    type: "ByteLevel",
    add_prefix_space: prefixSpace,
    trim_offsets: true,
    use_regex: useRegex,
  };
}
