// From texts to token ids, as transformers' tokenizers give them by default.
import { stat } from "node:fs/promises";
import { fromIo, messageOf, Zo2Error } from "../errors.js";
import { type BackendTokenizer, createBackend } from "./backend.js";
import { tokenizerFromFiles } from "./files.js";
import { type GgufMetadata, tokenizerFromGguf } from "./gguf.js";

/** Texts encoded at once: enough to keep the encoder's threads busy, little enough to hold. */
const batchTexts = 1024;

/** What data and tasks need of a tokenizer. */
export interface TextEncoder {
  /** Ids put before every text (a beginning-of-text token, or nothing). */
  readonly prefix: readonly number[];
  /** Ids put after every text. */
  readonly suffix: readonly number[];
  /** Its vocabulary starts a text with a space of its own (SentencePiece). */
  readonly prefixesSpace: boolean;
  /** Token ids of each text, without prefix and suffix. */
  encode(texts: readonly string[]): Promise<number[][]>;
}

/** Hugging Face's `tokenizers` behind {@link TextEncoder}. */
export class Tokenizer implements TextEncoder {
  private constructor(
    private readonly backend: BackendTokenizer,
    readonly prefix: readonly number[],
    readonly suffix: readonly number[],
    readonly prefixesSpace: boolean,
  ) {}

  /** @throws Zo2Error ZO2_INVALID_MODEL when tokenizer.json cannot be used. */
  static async fromJson(json: string, file: string): Promise<Tokenizer> {
    try {
      const backend = createBackend(json);
      backend.disableTruncation();
      backend.disablePadding();
      const plain = await backend.encode("a", null, { addSpecialTokens: false });
      const whole = await backend.encode("a", null, { addSpecialTokens: true });
      const [inner, ids] = [plain.getIds(), whole.getIds()];
      const start = whole.getSpecialTokensMask().indexOf(0);
      const prefix = ids.slice(0, Math.max(0, start));
      const suffix = ids.slice(prefix.length + inner.length);
      const spaced = plain.getTokens()[0]?.startsWith("\u2581") ?? false;
      return new Tokenizer(backend, prefix, suffix, spaced);
    } catch (error) {
      const message = `${file}: the tokenizer cannot be used: ${messageOf(error)}`;
      throw new Zo2Error("ZO2_INVALID_MODEL", message, { cause: error });
    }
  }

  async encode(texts: readonly string[]): Promise<number[][]> {
    const all: number[][] = [];
    for (let start = 0; start < texts.length; start += batchTexts) {
      const part = texts.slice(start, start + batchTexts);
      const encoded = await this.backend.encodeBatch(part, { addSpecialTokens: false });
      for (const encoding of encoded) all.push(encoding.getIds());
    }
    return all;
  }
}

/**
 * Loads the tokenizer of a model: a directory of Hugging Face files or a .gguf file.
 * @param ggufMetadata reads all metadata of a GGUF file
 * @throws Zo2Error ZO2_INVALID_MODEL, ZO2_UNSUPPORTED_MODEL, ZO2_IO
 */
export async function loadTokenizer(
  model: string,
  ggufMetadata: (path: string) => GgufMetadata,
): Promise<Tokenizer> {
  const isDirectory = await stat(model).then(
    (stats) => stats.isDirectory(),
    (error: unknown) => {
      throw fromIo(error, "open", model);
    },
  );
  const json = isDirectory
    ? await tokenizerFromFiles(model)
    : JSON.stringify(tokenizerFromGguf(ggufMetadata(model), model).tokenizer);
  return Tokenizer.fromJson(json, model);
}
