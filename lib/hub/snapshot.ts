// A repository at a commit: what it holds, and files of it brought here.
import { join } from "node:path";
import { isThere, type Listing, RepositoryCache, type RepositoryFile } from "./cache.js";
import { downloadBlob } from "./download.js";
import { accessToken, hubUrl, isOffline } from "./environment.js";
import { fromHub, refusal } from "./errors.js";
import { describeReference, type HubReference } from "./reference.js";

/** How much of the files that were missing is here. */
export interface DownloadEvent {
  event: "download";
  /** The repository as it was given. */
  source: string;
  /** The file that is being downloaded. */
  file: string;
  bytes: number;
  totalBytes: number;
}
export interface HubOptions {
  signal?: AbortSignal | undefined;
  /** Called when a file begins, every now and then, and at the end; what it throws (or rejects with) ends it all. */
  onDownload?: ((event: DownloadEvent) => unknown) | undefined;
}

const everyMs = 500;

/** What every request is made with. */
function connection({ type, name }: HubReference, signal: AbortSignal | undefined) {
  const token = accessToken();
  return {
    repo: { type, name },
    hubUrl: hubUrl(),
    ...(token !== undefined && { accessToken: token }),
    fetch: ((url, init) => fetch(url, { ...init, ...(signal && { signal }) })) as typeof fetch,
  };
}

/** What a repository calls its files becomes paths here: none may lead out of the cache. */
function isSafe({ path, sha256 = "0", oid }: RepositoryFile): boolean {
  const isHex = /^[0-9a-f]+$/.test(oid) && /^[0-9a-f]+$/.test(sha256);
  return isHex && !path.startsWith("/") && !/(^|[/\\])\.\.([/\\]|$)/.test(path);
}

/** @param revision branch, tag or commit */
async function askForListing(
  reference: HubReference,
  revision: string,
  signal: AbortSignal | undefined,
): Promise<Listing> {
  const { datasetInfo, listFiles, modelInfo } = await import("@huggingface/hub");
  const { repo, ...rest } = connection(reference, signal);
  const request = { ...rest, name: repo.name, revision };
  const { sha: commit } =
    repo.type === "model"
      ? await modelInfo({ ...request, additionalFields: ["sha"] })
      : await datasetInfo({ ...request, additionalFields: ["sha"] });
  const files: RepositoryFile[] = [];
  for await (const found of listFiles({ ...rest, repo, revision: commit, recursive: true })) {
    const { type, path, size, oid = "", lfs } = found;
    const file = { path, size: lfs?.size ?? size, sha256: lfs?.oid, oid };
    if (type === "file" && isSafe(file)) files.push(file);
  }
  return { commit, files };
}

export class Snapshot {
  /** Ends what a callback of the user has failed in. */
  readonly #failing = new AbortController();

  private constructor(
    readonly reference: HubReference,
    readonly files: readonly RepositoryFile[],
    private readonly cache: RepositoryCache,
    private readonly commit: string,
    private readonly options: HubOptions,
  ) {}

  /**
   * The commit that was had before, or else the newest.
   * @throws Zo2Error ZO2_DOWNLOAD, ZO2_IO; the signal's reason
   */
  static async open(reference: HubReference, options: HubOptions): Promise<Snapshot> {
    const { signal } = options;
    signal?.throwIfAborted();
    const cache = new RepositoryCache(reference);
    const known = await cache.commit();
    let listing = known === undefined ? undefined : await cache.listing(known);
    if (listing === undefined) {
      requireOnline(reference);
      try {
        // Who brought a commit here (Hugging Face's tools keep no listings) has chosen it.
        listing = await askForListing(reference, known ?? reference.revision, signal);
      } catch (error) {
        throw signal?.aborted ? signal.reason : fromHub(error, reference);
      }
      await cache.saveListing(listing);
      if (known === undefined) await cache.saveCommit(listing.commit);
    }
    return new Snapshot(reference, listing.files, cache, listing.commit, options);
  }

  /** Folder of the files that have been fetched. */
  get folder(): string {
    return this.cache.snapshot(this.commit);
  }

  /** Brings files here. @throws Zo2Error ZO2_DOWNLOAD, ZO2_IO; the signal's reason */
  async fetch(files: readonly RepositoryFile[]): Promise<void> {
    const missing: RepositoryFile[] = [];
    for (const file of files) {
      if (!(await isThere(join(this.folder, file.path)))) missing.push(file);
    }
    if (missing.length > 0) requireOnline(this.reference);
    const totalBytes = missing.reduce((sum, { size }) => sum + size, 0);
    let done = 0;
    for (const file of missing) {
      await this.#fetchOne(file, this.#teller(file, done, totalBytes));
      done += file.size;
    }
  }

  get #signal(): AbortSignal {
    const { signal } = this.options;
    const own = this.#failing.signal;
    return signal ? AbortSignal.any([signal, own]) : own;
  }

  async #tell(event: DownloadEvent): Promise<void> {
    try {
      await this.options.onDownload?.(event);
    } catch (reason) {
      this.#failing.abort(reason);
    }
  }

  #teller({ path, size }: RepositoryFile, before: number, totalBytes: number) {
    let told = Number.NEGATIVE_INFINITY;
    return (bytes: number): void => {
      const now = performance.now();
      if (now - told < everyMs && bytes < size) return;
      told = now;
      const source = describeReference(this.reference);
      const event = { event: "download", source, file: path, bytes: before + bytes } as const;
      void this.#tell({ ...event, totalBytes });
    };
  }

  async #fetchOne(file: RepositoryFile, onBytes: (bytes: number) => void): Promise<void> {
    const signal = this.#signal;
    const { downloadFile } = await import("@huggingface/hub");
    try {
      await downloadBlob({
        file,
        blob: this.cache.blob(file),
        name: `${describeReference(this.reference)}: ${file.path}`,
        open: () =>
          downloadFile({
            ...connection(this.reference, signal),
            path: file.path,
            revision: this.commit,
          }),
        signal,
        onBytes,
      });
      await this.cache.link(this.commit, file);
      signal.throwIfAborted();
    } catch (error) {
      throw signal.aborted ? signal.reason : fromHub(error, this.reference);
    }
  }
}

function requireOnline(reference: HubReference): void {
  if (isOffline()) throw refusal(reference, "HF_HUB_OFFLINE is set; unset it to have it fetched");
}
