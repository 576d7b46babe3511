// One file from the Hub to a blob of the cache: what an interruption left is gone on with, and nothing takes its
// place in the cache before its checksum is right.
import { createHash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { Zo2Error } from "../errors.js";
import { isThere, type RepositoryFile } from "./cache.js";
import { isPassing } from "./errors.js";

export interface FileDownload {
  file: RepositoryFile;
  /** Path of the blob. */
  blob: string;
  /** Names the file in messages. */
  name: string;
  /** All of the file, read by ranges; null when it is not there. */
  open: () => Promise<Blob | null>;
  signal: AbortSignal | undefined;
  /** Told how much of the file there is. */
  onBytes: (bytes: number) => void;
}

/** Connections in a row that brought nothing. */
const mostFailures = 3;
const firstPauseMs = 250;

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

function fault({ name }: FileDownload, what: string): Zo2Error {
  return new Zo2Error("ZO2_DOWNLOAD", `${name} ${what}`);
}

/** Writes at places of its own: whoever else downloads the same file writes the same bytes there. */
async function receive(download: FileDownload, partial: string): Promise<void> {
  const { file, signal, onBytes } = download;
  let position = await sizeOf(partial);
  if (position > file.size) {
    await rm(partial, { force: true });
    position = 0;
  }
  const handle = await open(partial, constants.O_WRONLY | constants.O_CREAT);
  try {
    onBytes(position);
    if (position < file.size) {
      const whole = await download.open();
      if (whole === null) throw fault(download, "is listed, but not there; try again later");
      const rest = position > 0 ? whole.slice(position, file.size) : whole;
      for await (const chunk of rest.stream() as unknown as AsyncIterable<Uint8Array>) {
        signal?.throwIfAborted();
        for (let from = 0; from < chunk.length; ) {
          const { bytesWritten } = await handle.write(chunk, from, chunk.length - from, position);
          from += bytesWritten;
          position += bytesWritten;
        }
        if (position > file.size) throw fault(download, "is longer than the Hub says; try again");
        onBytes(position);
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (position < file.size) throw new Error(`the connection ended after ${position} bytes`);
}

/** SHA-256, or git's hash of a blob: of what is on the disk, whoever wrote it; undefined where nothing is. */
async function checksumOf(
  { sha256, size }: RepositoryFile,
  path: string,
): Promise<string | undefined> {
  const hash = createHash(sha256 === undefined ? "sha1" : "sha256");
  if (sha256 === undefined) hash.update(`blob ${size}\0`);
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return hash.digest("hex");
}

async function receiveAll(download: FileDownload, partial: string): Promise<void> {
  const { file, blob, signal, onBytes } = download;
  for (let failures = 0; ; ) {
    const before = await sizeOf(partial);
    try {
      await receive(download, partial);
      return;
    } catch (error) {
      signal?.throwIfAborted();
      if (await isThere(blob)) {
        // Whatever it was: another download was as far meanwhile.
        await rm(partial, { force: true });
        onBytes(file.size);
        return;
      }
      failures = (await sizeOf(partial)) > before ? 1 : failures + 1;
      if (!isPassing(error) || failures >= mostFailures) throw error;
      await wait(firstPauseMs * 2 ** failures, undefined, { signal });
    }
  }
}

async function take(partial: string, blob: string): Promise<void> {
  await rename(partial, blob).catch(async (error: unknown) => {
    if (!(await isThere(blob))) throw error; // or another download was faster
  });
}

/** Makes the partial file the blob, if it is right; looks at the blob where another download has done so. */
async function finish(download: FileDownload, partial: string): Promise<void> {
  const { file, blob, signal } = download;
  const expected = file.sha256 ?? file.oid;
  let wrong: string | undefined;
  // The blob is no less open to doubt: what came here late was written into it as well.
  for (const path of [partial, blob]) {
    const checksum = await checksumOf(file, path);
    signal?.throwIfAborted();
    if (checksum === expected) {
      if (path === partial) await take(partial, blob);
      return;
    }
    if (checksum === undefined) continue;
    wrong = checksum;
    await rm(path, { force: true });
  }
  const what =
    wrong === undefined
      ? "was removed by another download, to which it arrived damaged; try again"
      : `arrived damaged: its checksum is ${wrong}, the Hub says ${expected}; what arrived is removed, try again`;
  throw fault(download, what);
}

/**
 * Downloads a file unless its blob is there. Others may download it at the same time, here or in another
 * process: all write into one partial file, and the first that has all of it makes it the blob.
 * @throws Zo2Error ZO2_DOWNLOAD; the signal's reason; what the network or the file system throws
 */
export async function downloadBlob(download: FileDownload): Promise<void> {
  const { file, blob, onBytes } = download;
  if (await isThere(blob)) {
    onBytes(file.size);
    return;
  }
  const partial = `${blob}.incomplete`;
  await mkdir(dirname(blob), { recursive: true });
  await receiveAll(download, partial);
  await finish(download, partial);
}
