// As much of the Hugging Face Hub as downloads need, on this machine.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Test } from "tap";

export interface Repository {
  type: "model" | "dataset";
  name: string;
  files: Record<string, Buffer | string>;
  /** Asked for with this token alone. */
  token?: string;
}
/** What the next answer with contents does instead of being right. */
export interface Fault {
  /** The connection ends after so many bytes of the body. */
  cutAfter?: number;
  /** The first byte is another one. */
  damaged?: boolean;
  /** The body waits for it. */
  held?: Promise<unknown>;
}

export const commit: string = "0123456789abcdef0123456789abcdef01234567";

const hash = (algorithm: string, ...parts: (Buffer | string)[]): string =>
  parts.reduce((sum, part) => sum.update(part), createHash(algorithm)).digest("hex");

export class FakeHub {
  /** Every request: "GET /path bytes=0-". */
  readonly requests: string[] = [];
  readonly faults: Fault[] = [];
  readonly #server = createServer((request, response) => this.#answer(request, response));

  constructor(readonly repositories: Repository[]) {}

  /** Also makes this process use it, with a cache in the test's folder. */
  async start(t: Test): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const { port } = this.#server.address() as AddressInfo;
    process.env.HF_ENDPOINT = `http://127.0.0.1:${port}/`;
    process.env.HF_HOME = t.testdir();
    t.teardown(() => this.stop());
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Files whose contents were asked for, in order, each once. */
  get fetched(): string[] {
    const paths = this.requests.flatMap((line) => /\/resolve\/\w+\/(\S+)/.exec(line)?.[1] ?? []);
    return [...new Set(paths)];
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "", "http://hub");
    this.requests.push(`${request.method} ${url.pathname} ${request.headers.range ?? ""}`.trim());
    const repository = this.repositories.find(({ type, name }) =>
      new RegExp(`^(/api/${type}s|${type === "model" ? "" : "/datasets"})/${name}/`).test(
        url.pathname,
      ),
    );
    const token = repository?.token;
    const isAllowed = !token || request.headers.authorization === `Bearer ${token}`;
    if (!repository || !isAllowed) {
      response.writeHead(401, { "content-type": "application/json" });
      response.end('{"error":"Invalid username or password."}');
    } else if (url.pathname.startsWith("/api/")) {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(describe(repository, url)));
    } else {
      this.#send(repository, decodeURIComponent(url.pathname), request.headers.range, response);
    }
  }

  #send(repository: Repository, path: string, range = "", response: ServerResponse): void {
    const [, name = ""] = /\/resolve\/\w+\/(.+)$/.exec(path) ?? [];
    const content = Buffer.from(repository.files[name] ?? "");
    const [, from = 0, to = content.length - 1] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
    const body = Buffer.from(content.subarray(Number(from), Number(to) + 1));
    const size = { "content-length": body.length };
    const part = { ...size, "content-range": `bytes ${from}-${to}/${content.length}` };
    response.writeHead(range ? 206 : 200, { ...(range ? part : size), etag: `"${name}"` });
    // Looking at the first byte tells the size.
    const { cutAfter, damaged, held } = (range !== "bytes=0-0" && this.faults.shift()) || {};
    if (damaged) body[0] = 255 - (body[0] ?? 0);
    const send = (): void => {
      if (cutAfter === undefined) response.end(body);
      else response.write(body.subarray(0, cutAfter), () => setImmediate(() => response.destroy()));
    };
    response.flushHeaders();
    if (held) void held.then(send);
    else send();
  }
}

function describe({ name, files }: Repository, { pathname }: URL): unknown {
  const [, asked] = /\/revision\/(.+)$/.exec(pathname) ?? [];
  if (asked !== undefined) {
    return { _id: "1", id: name, sha: /^[0-9a-f]{40}$/.test(asked) ? asked : commit };
  }
  const entries = Object.entries(files).map(([path, content]) => {
    const bytes = Buffer.from(content);
    const oid = hash("sha1", `blob ${bytes.length}\0`, bytes);
    const entry = { type: "file", path, size: bytes.length, oid };
    if (!/\.(safetensors|parquet|gguf)$/.test(path)) return entry;
    const lfs = { oid: hash("sha256", bytes), size: bytes.length, pointerSize: 134 };
    return { ...entry, oid: "ab".repeat(20), lfs };
  });
  return [{ type: "directory", path: "data", size: 0, oid: "00" }, ...entries];
}
