// Of a data set's repository the files of one split, told by their names as the Hub tells them
// (huggingface.co/docs/hub/datasets-file-names-and-splits).
import { join, posix } from "node:path";
import { Zo2Error } from "../errors.js";
import { rowExtensions } from "../data/extensions.js";
import type { RowFiles } from "../data/formats.js";
import type { RepositoryFile } from "./cache.js";
import { named as nameOf } from "./errors.js";
import { describeReference, type HubReference } from "./reference.js";
import { type HubOptions, Snapshot } from "./snapshot.js";

/** What rows are for: which split they are looked for in. */
export type RowsRole = "train" | "eval";

const words: Record<RowsRole, string> = {
  train: "train|training",
  eval: "validation|valid|val|dev",
};
/** Not rows, whatever they are called. */
const descriptions = /(^|\/)(dataset_infos?|dataset_dict|state|metadata)\.json$/;

/** Whether a word stands by itself in a file's name or folder. */
function isOfSplit(path: string, role: RowsRole): boolean {
  return new RegExp(`(^|[/._ -])(${words[role]})([/._ -]|$)`, "i").test(path);
}

function patternOf(path: string): RegExp {
  const literal = path.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^/]*");
  return new RegExp(`^${literal}(/|$)`);
}

function fault(reference: HubReference, what: string): Zo2Error {
  return new Zo2Error("ZO2_INVALID_DATA", `${nameOf(reference)} ${what}`);
}

/** So many names as help. */
function some(names: readonly string[]): string {
  const most = 12;
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return names.slice(0, most).join(", ") + more;
}

/**
 * The files that a reference means, in order.
 * @throws Zo2Error ZO2_INVALID_DATA when there are none, or those of several data sets
 */
export function chooseRowFiles(
  files: readonly RepositoryFile[],
  reference: HubReference,
  role: RowsRole,
): RepositoryFile[] {
  const { name, path } = reference;
  const rows = files
    .filter((file) => rowExtensions.some((end) => end === posix.extname(file.path).toLowerCase()))
    .filter((file) => !descriptions.test(file.path));
  const all = rows.map((file) => file.path);
  const example = `hf://datasets/${name}/${all[0] ?? "FILE"}`;
  const asked = path === undefined ? rows : rows.filter((file) => patternOf(path).test(file.path));
  if (asked.length === 0) {
    throw fault(reference, `has no such files of rows; there are ${some(all) || "none"}`);
  }
  // A file or a pattern says which rows; of a folder, or of all, a split is meant.
  const isExact = path !== undefined && (path.includes("*") || all.includes(path));
  const inFolder = (file: string): string => file.slice(path === undefined ? 0 : path.length);
  const named = asked.filter((file) => isOfSplit(inFolder(file.path), role));
  const inNamed = named.length > 0 ? named : asked.filter((file) => isOfSplit(file.path, role));
  const split = isExact ? asked : inNamed;
  if (split.length === 0) {
    const wanted = words[role].split("|").join(", ");
    throw fault(
      reference,
      `has no file of rows named after the split (${wanted}); there are ${some(all)}; name one, as in "${example}"`,
    );
  }
  const extension = rowExtensions.find((end) => split.some((file) => file.path.endsWith(end)));
  const chosen = split.filter((file) => extension === undefined || file.path.endsWith(extension));
  const folders = [...new Set(chosen.map((file) => posix.dirname(file.path)))];
  if (!isExact && folders.length > 1) {
    throw fault(
      reference,
      `holds several data sets: ${some(folders)}; name one, as in "hf://datasets/${name}/${folders[0]}"`,
    );
  }
  return chosen.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * Fetches what is missing of a split.
 * @throws Zo2Error ZO2_DOWNLOAD, ZO2_INVALID_DATA, ZO2_IO; the signal's reason
 */
export async function fetchRows(
  reference: HubReference,
  role: RowsRole,
  options: HubOptions,
): Promise<RowFiles> {
  const snapshot = await Snapshot.open(reference, options);
  const files = chooseRowFiles(snapshot.files, reference, role);
  await snapshot.fetch(files);
  return {
    name: describeReference(reference),
    files: files.map(({ path }) => join(snapshot.folder, path)),
  };
}
