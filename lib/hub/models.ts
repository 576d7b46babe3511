// Of a model's repository what zo2 reads, and nothing else: repositories also hold the weights in other formats.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Zo2Error } from "../errors.js";
import { isThere, RepositoryCache, type RepositoryFile } from "./cache.js";
import { named } from "./errors.js";
import type { HubReference } from "./reference.js";
import { type HubOptions, Snapshot } from "./snapshot.js";

const config = "config.json";
const weights = "model.safetensors";
const index = "model.safetensors.index.json";
/** Beside config and weights, where they are there. */
const others = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  index,
];

/** What is needed of it: plans read the configuration alone. */
export type ModelPart = "all" | "config";

function lacks(reference: HubReference, what: string): Zo2Error {
  return new Zo2Error("ZO2_INVALID_MODEL", `${named(reference)} ${what}`);
}

/** Names of the files that an index sends to. */
async function shardsOf(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  try {
    const { weight_map: map } = JSON.parse(text) as { weight_map?: Record<string, string> };
    return [...new Set(Object.values(map ?? {}))];
  } catch {
    return [];
  }
}

/** Whether a folder has all that is needed, whoever brought it there. */
async function isWhole(folder: string, part: ModelPart): Promise<boolean> {
  const has = (name: string): Promise<boolean> => isThere(join(folder, name));
  if (!(await has(config))) return false;
  if (part === "config" || (await has(weights))) return true;
  const shards = await shardsOf(join(folder, index));
  return shards.length > 0 && (await Promise.all(shards.map(has))).every(Boolean);
}

/** Where a model is in the local cache; undefined unless all of it is. */
export async function cachedModel(
  reference: HubReference,
  part: ModelPart,
): Promise<string | undefined> {
  const cache = new RepositoryCache(reference);
  const commit = await cache.commit();
  if (commit === undefined) return undefined;
  const folder = cache.snapshot(commit);
  if (reference.path === undefined) return (await isWhole(folder, part)) ? folder : undefined;
  const file = join(folder, reference.path);
  return (await isThere(file)) ? file : undefined;
}

async function fetchOne(snapshot: Snapshot, path: string): Promise<string> {
  const file = snapshot.files.find((file) => file.path === path);
  if (!file || !path.endsWith(".gguf")) {
    throw lacks(snapshot.reference, "must name a .gguf file of the repository");
  }
  await snapshot.fetch([file]);
  return join(snapshot.folder, path);
}

/** The files that hold the weights. */
async function weightFiles(
  snapshot: Snapshot,
  find: (name: string) => RepositoryFile | undefined,
): Promise<RepositoryFile[]> {
  const single = find(weights);
  if (single) return [single];
  const shards = await shardsOf(join(snapshot.folder, index));
  return shards.map((name) => {
    const shard = find(name);
    if (shard) return shard;
    throw lacks(snapshot.reference, `has no ${name}, which its ${index} names`);
  });
}

/**
 * Fetches what is missing of a model.
 * @returns its folder, or its .gguf file
 * @throws Zo2Error ZO2_DOWNLOAD, ZO2_INVALID_MODEL, ZO2_IO; the signal's reason
 */
export async function fetchModel(
  reference: HubReference,
  part: ModelPart,
  options: HubOptions,
): Promise<string> {
  const snapshot = await Snapshot.open(reference, options);
  if (reference.path !== undefined) return fetchOne(snapshot, reference.path);
  const find = (name: string): RepositoryFile | undefined =>
    snapshot.files.find(({ path }) => path === name);
  const configuration = find(config);
  if (!configuration || (part === "all" && !find(weights) && !find(index))) {
    const missing = configuration ? `safetensors (${weights} or ${index})` : config;
    const gguf = snapshot.files.map(({ path }) => path).filter((path) => path.endsWith(".gguf"));
    const instead = gguf.map((path) => `hf://${reference.name}/${path}`).join(", ");
    const advice = instead || "name a repository that has them";
    throw lacks(reference, `has no ${missing}; give ${advice}`.replace("give name", "name"));
  }
  await snapshot.fetch([configuration]);
  if (part === "config") return snapshot.folder;
  await snapshot.fetch(others.flatMap((name) => find(name) ?? []));
  await snapshot.fetch(await weightFiles(snapshot, find));
  return snapshot.folder;
}
