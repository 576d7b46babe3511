// The tokenizer of a directory of Hugging Face files: tokenizer.json, or vocab.json and merges.txt.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fromIo, Zo2Error } from "../errors.js";
import { byteLevelDecoder, byteLevelModel, byteLevelPreTokenizer } from "./byte-level.js";
import {
  addedToken,
  type Marker,
  type TokenizerJson,
  templateProcessing,
} from "./tokenizer-json.js";

type Json = Record<string, unknown>;

/** What a model says of its tokenizer. */
export interface TokenizerFiles {
  /** The text of tokenizer.json, or the equivalent. */
  json: string;
  /** tokenizer_config.json, or the equivalent; its chat_template may come from a file of its own. */
  config: Readonly<Json>;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fromIo(error, "read", path);
  }
}

function parse(text: string, path: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Json;
  } catch (error) {
    const reason = (error as Error).message;
    throw new Zo2Error("ZO2_INVALID_MODEL", `${path} is not JSON: ${reason}`, { cause: error });
  }
  throw new Zo2Error("ZO2_INVALID_MODEL", `${path} does not hold an object`);
}

/** tokenizer_config.json names a token by its text or by an object with its text. */
export function contentOf(token: unknown): string | undefined {
  const value = typeof token === "object" && token ? (token as Json).content : token;
  return typeof value === "string" ? value : undefined;
}

function idOf(content: string | undefined, tokenizer: Json): Marker | undefined {
  if (content === undefined) return undefined;
  const added = (tokenizer.added_tokens ?? []) as { id: number; content: string }[];
  const { vocab } = (tokenizer.model ?? {}) as { vocab?: Record<string, number> };
  const id = added.find((token) => token.content === content)?.id ?? vocab?.[content];
  return id === undefined ? undefined : { content, id };
}

/**
 * transformers 5 lets add_bos_token and add_eos_token of tokenizer_config.json replace what
 * tokenizer.json says of the tokens around a text; so does this.
 */
function withMarkers(tokenizer: Json, config: Json): Json {
  if (!("add_bos_token" in config) && !("add_eos_token" in config)) return tokenizer;
  const bos = config.add_bos_token ? idOf(contentOf(config.bos_token), tokenizer) : undefined;
  const eos = config.add_eos_token ? idOf(contentOf(config.eos_token), tokenizer) : undefined;
  return { ...tokenizer, post_processor: templateProcessing(bos, eos) };
}

/** GPT-2's two files, which OPT ships instead of tokenizer.json. */
function fromVocabulary(vocabText: string, mergesText: string, config: Json, dir: string): Json {
  const vocab = parse(vocabText, join(dir, "vocab.json")) as Record<string, number>;
  const lines = mergesText.split("\n").map((line) => line.replace(/\r$/, ""));
  const merges = lines
    .filter((line) => line !== "" && !line.startsWith("#version"))
    .map((line) => line.split(" ") as [string, string]);
  const roles = ["bos_token", "eos_token", "unk_token", "pad_token"];
  const special = new Set(roles.map((role) => contentOf(config[role])));
  const tokenizer: TokenizerJson = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [...special].flatMap((content) => {
      const id = content === undefined ? undefined : vocab[content];
      return id === undefined ? [] : [addedToken(id, content as string, true)];
    }),
    normalizer: null,
    pre_tokenizer: byteLevelPreTokenizer(undefined),
    post_processor: null,
    decoder: byteLevelDecoder,
    model: byteLevelModel(vocab, merges),
  };
  return { ...tokenizer };
}

/**
 * tokenizer.json of a model directory, with what tokenizer_config.json changes in it.
 * @throws Zo2Error ZO2_INVALID_MODEL, ZO2_IO
 */
export async function tokenizerFromFiles(dir: string): Promise<TokenizerFiles> {
  const read = (name: string): Promise<string | undefined> => readIfThere(join(dir, name));
  const readJson = async (name: string): Promise<Json> => {
    const text = await read(name);
    return text ? parse(text, join(dir, name)) : {};
  };
  const config = await readJson("tokenizer_config.json");
  const chatTemplate = await read("chat_template.jinja");
  const all = {
    ...(await readJson("special_tokens_map.json")),
    ...config,
    ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
  };
  const text = await read("tokenizer.json");
  if (text !== undefined) {
    const tokenizer = parse(text, join(dir, "tokenizer.json"));
    return { json: JSON.stringify(withMarkers(tokenizer, config)), config: all };
  }
  const [vocab, merges] = [await read("vocab.json"), await read("merges.txt")];
  if (vocab === undefined || merges === undefined) {
    throw new Zo2Error(
      "ZO2_INVALID_MODEL",
      `${dir} has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt is there; ` +
        "copy the tokenizer's files beside the weights",
    );
  }
  const tokenizer = fromVocabulary(vocab, merges, config, dir);
  return { json: JSON.stringify(withMarkers(tokenizer, config)), config: all };
}
