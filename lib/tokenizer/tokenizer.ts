// From texts to token ids, as transformers' tokenizers give them by default.
import { stat } from "node:fs/promises";
import { fromIo, messageOf, Zo2Error } from "../errors.js";
import { type BackendEncoding, type BackendTokenizer, createBackend } from "./backend.js";
import { ChatTemplate } from "./chat-template.js";
import { contentOf, type TokenizerFiles, tokenizerFromFiles } from "./files.js";
import { type GgufMetadata, tokenizerFromGguf } from "./gguf.js";

/** Texts encoded at once: enough to keep the encoder's threads busy, little enough to hold. */
const batchTexts = 1024;

/** A text as tokens. */
export interface Encoding {
  readonly ids: number[];
  /** Start and end of each token in the text, in code points. */
  readonly offsets: () => readonly (readonly [start: number, end: number])[];
}

/** The special tokens that templates see, as transformers names them. */
function specialTokens(config: TokenizerFiles["config"]): Record<string, string> {
  const roles = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((role) => `${role}_token`);
  const named = roles.map((role) => [role, contentOf(config[role])]);
  return Object.fromEntries(named.filter(([, content]) => content !== undefined));
}

/** chat_template is a source, or a list of named ones. */
function templateOf({ chat_template: given }: TokenizerFiles["config"], file: string): string {
  const list = (Array.isArray(given) ? given : []) as { name: unknown; template: unknown }[];
  const source = list.find(({ name }) => name === "default")?.template ?? given;
  if (typeof source === "string") return source;
  const problem = given === undefined ? "has no chat template" : 'has no chat template "default"';
  throw new Zo2Error(
    "ZO2_INVALID_MODEL",
    `${file} ${problem}; give one as data.chatTemplate (a file of Jinja), or texts instead of messages`,
  );
}

/** What data and tasks need of a tokenizer. */
export interface TextEncoder {
  /** Ids put before every text (a beginning-of-text token, or nothing). */
  readonly prefix: readonly number[];
  /** Ids put after every text. */
  readonly suffix: readonly number[];
  /** Id of the token that ends what is generated; undefined when the model names none. */
  readonly eos: number | undefined;
  /** Its vocabulary starts a text with a space of its own (SentencePiece). */
  readonly prefixesSpace: boolean;
  /** Each text without prefix and suffix; special tokens in it are tokens. */
  encodings(texts: readonly string[]): Promise<Encoding[]>;
  /** The ids of {@link encodings}. */
  encode(texts: readonly string[]): Promise<number[][]>;
  /** The text of each list of ids, special tokens left out. */
  decode(ids: readonly (readonly number[])[]): Promise<string[]>;
  /**
   * The model's chat template, or one from the source given.
   * @throws Zo2Error ZO2_INVALID_MODEL
   */
  chatTemplate(source?: string): ChatTemplate;
}

/** Hugging Face's `tokenizers` behind {@link TextEncoder}. */
export class Tokenizer implements TextEncoder {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly prefixesSpace: boolean;
  readonly #templates = new Map<string, ChatTemplate>();

  private constructor(
    private readonly backend: BackendTokenizer,
    private readonly file: string,
    private readonly config: TokenizerFiles["config"],
    plain: BackendEncoding,
    whole: BackendEncoding,
  ) {
    const [inner, ids] = [plain.getIds(), whole.getIds()];
    const start = whole.getSpecialTokensMask().indexOf(0);
    this.prefix = ids.slice(0, Math.max(0, start));
    this.suffix = ids.slice(this.prefix.length + inner.length);
    this.prefixesSpace = plain.getTokens()[0]?.startsWith("\u2581") ?? false;
  }

  /** @throws Zo2Error ZO2_INVALID_MODEL when tokenizer.json cannot be used. */
  static async fromJson(
    json: string,
    file: string,
    config: TokenizerFiles["config"] = {},
  ): Promise<Tokenizer> {
    try {
      const backend = createBackend(json);
      backend.disableTruncation();
      backend.disablePadding();
      const plain = await backend.encode("a", null, { addSpecialTokens: false });
      const whole = await backend.encode("a", null, { addSpecialTokens: true });
      return new Tokenizer(backend, file, config, plain, whole);
    } catch (error) {
      const message = `${file}: the tokenizer cannot be used: ${messageOf(error)}`;
      throw new Zo2Error("ZO2_INVALID_MODEL", message, { cause: error });
    }
  }

  get eos(): number | undefined {
    const content = contentOf(this.config.eos_token);
    return content === undefined ? undefined : (this.backend.tokenToId(content) ?? undefined);
  }

  async encode(texts: readonly string[]): Promise<number[][]> {
    return (await this.encodings(texts)).map(({ ids }) => ids);
  }

  async encodings(texts: readonly string[]): Promise<Encoding[]> {
    const all: Encoding[] = [];
    for (let start = 0; start < texts.length; start += batchTexts) {
      const part = texts.slice(start, start + batchTexts);
      const encoded = await this.backend.encodeBatch(part, { addSpecialTokens: false });
      for (const encoding of encoded) {
        all.push({ ids: encoding.getIds(), offsets: () => encoding.getOffsets() });
      }
    }
    return all;
  }

  async decode(ids: readonly (readonly number[])[]): Promise<string[]> {
    return this.backend.decodeBatch(ids, true);
  }

  chatTemplate(source: string = templateOf(this.config, this.file)): ChatTemplate {
    const known = this.#templates.get(source);
    if (known) return known;
    try {
      const template = new ChatTemplate(source, specialTokens(this.config));
      this.#templates.set(source, template);
      return template;
    } catch (error) {
      const message = `${this.file}: the chat template cannot be used: ${messageOf(error)}`;
      throw new Zo2Error("ZO2_INVALID_MODEL", message, { cause: error });
    }
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
  if (isDirectory) {
    const { json, config } = await tokenizerFromFiles(model);
    return Tokenizer.fromJson(json, model, config);
  }
  const { tokenizer, config } = tokenizerFromGguf(ggufMetadata(model), model);
  return Tokenizer.fromJson(JSON.stringify(tokenizer), model, config);
}
