// What names something on the Hugging Face Hub: "org/name", "hf://org/name@revision/model.gguf",
// "hf://datasets/org/name/folder/train-*.parquet" (as in Hugging Face's own hf:// file system).
import { invalid, show } from "../config/problems.js";
import { rowExtensions } from "../data/extensions.js";

export type RepositoryType = "model" | "dataset";

/** A repository at a revision, and perhaps something in it. */
export interface HubReference {
  type: RepositoryType;
  /** "org/name", of old models "name" alone. */
  name: string;
  /** Branch, tag or commit. */
  revision: string;
  /** A file, a folder, or a pattern with `*`; undefined: the repository. */
  path?: string | undefined;
}

const part = "[A-Za-z0-9][\\w.-]*";
const id = new RegExp(`^(${part}/${part})(?:@([\\w./~-]+))?$`);
const scheme = "hf://";
/** Such names are paths, also where nothing is. */
const fileEnds = [...rowExtensions, ".gguf", ".safetensors", ".txt"].map((end) => `\\${end}`);
const fileName = new RegExp(`(${fileEnds.join("|")})$`, "i");
/** Names that Hugging Face gives to long revisions. */
const aliases: Record<string, string> = { "~parquet": "refs/convert/parquet" };

function withAlias(revision = "main"): string {
  return aliases[revision] ?? revision;
}

function explicit(text: string, type: RepositoryType): HubReference {
  const prefix = type === "dataset" ? `${scheme}datasets/` : scheme;
  const rest = text.startsWith(prefix) ? text.slice(prefix.length) : "";
  const form = new RegExp(`^(${part}(?:/${part})?)(?:@([\\w.~-]+))?(?:/(.+?)/?)?$`);
  const [, name, revision, path] = form.exec(rest) ?? [];
  const isOther = type === "model" && rest.startsWith("datasets/");
  if (name === undefined || isOther || path?.split("/").includes("..")) {
    const example = type === "dataset" ? "stanfordnlp/sst2/data/train-*" : "org/name@main";
    throw invalid(`${show(text)} names no ${type} on the Hub; the form is "${prefix}${example}"`);
  }
  return { type, name, revision: withAlias(revision), path };
}

/**
 * What a text that is no path names; undefined when it cannot be a name.
 * @throws Zo2Error ZO2_INVALID_CONFIG for a malformed hf:// name
 */
export function parseReference(text: string, type: RepositoryType): HubReference | undefined {
  if (text.startsWith(scheme)) return explicit(text, type);
  const [, name, revision] = fileName.test(text) ? [] : (id.exec(text) ?? []);
  return name === undefined ? undefined : { type, name, revision: withAlias(revision) };
}

/** The reference as its user would write it. */
export function describeReference({ type, name, revision, path }: HubReference): string {
  const at = revision === "main" ? "" : `@${revision}`;
  if (path === undefined) return `${name}${at}`;
  return `${scheme}${type === "dataset" ? "datasets/" : ""}${name}${at}/${path}`;
}
