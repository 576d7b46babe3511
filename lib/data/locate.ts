// Where rows are: a path that exists, or else what it names on the Hugging Face Hub.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fetchRows, type RowsRole } from "../hub/data.js";
import { parseReference } from "../hub/reference.js";
import type { HubOptions } from "../hub/snapshot.js";
import type { Part } from "./draw.js";
import { readerOf, type Source } from "./formats.js";

/**
 * An absolute path, or the name of a data set as it is.
 * @param field what the configuration calls it
 * @throws Zo2Error ZO2_INVALID_CONFIG for a file of no known format
 */
export function rowsPath(text: string, field: string): string {
  if (!existsSync(text) && parseReference(text, "dataset")) return text;
  readerOf(text, field);
  return resolve(text);
}

/** The source with a data set's files in place of its name, fetched where they are missing. @throws as {@link fetchRows} */
export async function locateRows(
  source: Source,
  role: RowsRole,
  options: HubOptions,
): Promise<Source> {
  if (typeof source !== "string" || existsSync(source)) return source;
  const reference = parseReference(source, "dataset");
  return reference ? fetchRows(reference, role, options) : source;
}

/** {@link locateRows} of a part's source. */
export async function locatePart(part: Part, options: HubOptions): Promise<Part> {
  return { ...part, source: await locateRows(part.source, part.role ?? "eval", options) };
}
