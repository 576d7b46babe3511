// What can go wrong between here and the Hub, and what to do about it.
import { fromIo, messageOf, Zo2Error } from "../errors.js";
import { hubUrl } from "./environment.js";
import { describeReference, type HubReference } from "./reference.js";

/** The Hub's answer, of the library's HubApiError. */
function statusOf(error: unknown): number | undefined {
  const { statusCode } = (error ?? {}) as { statusCode?: unknown };
  return typeof statusCode === "number" ? statusCode : undefined;
}

/** Whether the same request may succeed in a moment. */
export function isPassing(error: unknown): boolean {
  const status = statusOf(error);
  if (status !== undefined) return status >= 500 || status === 429 || status === 408;
  return !(error instanceof Zo2Error) && !isFileError(error);
}

function isFileError(error: unknown): boolean {
  const { syscall, path } = (error ?? {}) as NodeJS.ErrnoException;
  return syscall !== undefined && path !== undefined;
}

function reasonOf(error: unknown): string {
  const { cause } = (error ?? {}) as { cause?: NodeJS.ErrnoException };
  return cause ? cause.message || (cause.code ?? String(cause)) : messageOf(error);
}

/** "model "org/name"", for messages. */
export function named(reference: HubReference): string {
  return `${reference.type} ${JSON.stringify(describeReference(reference))}`;
}

/** What to say of a repository that cannot be had. */
export function refusal(reference: HubReference, why: string, cause?: unknown): Zo2Error {
  const what = reference.type === "model" ? "a directory or a .gguf file" : "a file";
  return new Zo2Error(
    "ZO2_DOWNLOAD",
    `${named(reference)} is neither a path here nor whole in the local cache, and ${why}, or give ${what} that is here`,
    { cause },
  );
}

function advice(reference: HubReference, status: number): string {
  const page = `${hubUrl()}/${reference.type === "dataset" ? "datasets/" : ""}${reference.name}`;
  const token = process.env.HF_TOKEN ? "a token in HF_TOKEN that may read it" : "HF_TOKEN";
  if (status === 401) return `it does not exist or is private; check the name, set ${token}`;
  if (status === 403) return `access is restricted; ask for it on ${page}, set ${token}`;
  if (status === 404) return `there is no such repository or revision; check the name on ${page}`;
  return "try again later";
}

/** What the library, fetch or the file system threw, as a Zo2Error that names the repository. */
export function fromHub(error: unknown, reference: HubReference): Zo2Error {
  if (error instanceof Zo2Error) return error;
  if (isFileError(error)) {
    return fromIo(error, "write", (error as NodeJS.ErrnoException).path ?? "");
  }
  const status = statusOf(error);
  const why =
    status === undefined
      ? `${hubUrl()} cannot be reached (${reasonOf(error)}); connect to the network, set HF_ENDPOINT to a mirror`
      : `${hubUrl()} refuses it (${status}): ${advice(reference, status)}`;
  return refusal(reference, why, error);
}
