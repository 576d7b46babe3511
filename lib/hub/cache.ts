// The cache of Hugging Face's tools, which they and zo2 share: blobs by checksum, a folder of links for each
// commit, and which commit a branch was at. Of zo2 alone: what a commit holds, so that it need not be asked again.
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fromIo } from "../errors.js";
import { hubCache } from "./environment.js";
import type { HubReference } from "./reference.js";

/** A file of a repository at a commit. */
export interface RepositoryFile {
  path: string;
  size: number;
  /** SHA-256 of its bytes, where the Hub has it, or else the SHA-1 that git knows it by. */
  sha256?: string | undefined;
  oid: string;
}
export interface Listing {
  commit: string;
  files: RepositoryFile[];
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw fromIo(error, "read", path);
  });
}

/** Puts in the place of `path` what `make` makes under another name, which nobody else writes to at the same time. */
async function replace(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fromIo(error, "write", path);
  }
}

export class RepositoryCache {
  readonly folder: string;
  readonly #revision: string;

  constructor({ type, name, revision }: HubReference) {
    this.folder = join(hubCache(), `${type}s--${name.replace("/", "--")}`);
    this.#revision = revision;
  }

  /** Of the revision, when it was last asked for. */
  async commit(): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(this.#revision)) return this.#revision;
    return (await textOf(join(this.folder, "refs", this.#revision)))?.trim();
  }

  /** Folder of what is here of a commit. */
  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  blob({ sha256, oid }: RepositoryFile): string {
    return join(this.folder, "blobs", sha256 ?? oid);
  }

  #listing(commit: string): string {
    return join(this.folder, "zo2", `${commit}.json`);
  }

  async listing(commit: string): Promise<Listing | undefined> {
    const text = await textOf(this.#listing(commit));
    try {
      return text === undefined ? undefined : (JSON.parse(text) as Listing);
    } catch {
      return undefined; // Asked for again.
    }
  }

  async saveListing(listing: Listing): Promise<void> {
    await this.#write(this.#listing(listing.commit), JSON.stringify(listing));
  }

  /** What {@link commit} tells from now on. */
  async saveCommit(commit: string): Promise<void> {
    await this.#write(join(this.folder, "refs", this.#revision), commit);
  }

  async #write(path: string, text: string): Promise<void> {
    await replace(path, (temporary) => writeFile(temporary, text));
  }

  /** A file of a commit as a link to its blob, which is there. */
  async link(commit: string, file: RepositoryFile): Promise<void> {
    const path = join(this.snapshot(commit), file.path);
    const target = relative(dirname(path), this.blob(file));
    await replace(path, (temporary) => symlink(target, temporary));
  }
}

/** Whether there is something, behind links as well. */
export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
