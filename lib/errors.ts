// One error class for everything a user can meet.

/** Stable codes of {@link Zo2Error} (docs/errors.md). */
export type Zo2ErrorCode =
  | "ZO2_INVALID_CONFIG"
  | "ZO2_INVALID_DATA"
  | "ZO2_INVALID_MODEL"
  | "ZO2_DOWNLOAD"
  | "ZO2_JOURNAL_MISMATCH"
  | "ZO2_RUN_EXISTS"
  | "ZO2_RUN_NOT_FOUND"
  | "ZO2_ADDON_MISSING"
  | "ZO2_BUSY"
  | "ZO2_CLOSED"
  | "ZO2_IO"
  | "ZO2_INTERNAL"
  | "ZO2_UNSUPPORTED_MODEL"
  | "ZO2_RUN_LOCKED"
  | "ZO2_OUT_OF_MEMORY"
  | "ZO2_NON_FINITE"
  | "ZO2_JOURNAL_CORRUPT"
  | "ZO2_ABORTED"
  | "ZO2_DEVICE"
  // Codes of engines newer than this file.
  | `ZO2_${string}`;

/**
 * What every function of this package throws or rejects with, except for a signal's own reason and
 * for what user callbacks throw. The message names the file, field or value and says what to do.
 */
export class Zo2Error extends Error {
  override readonly name = "Zo2Error";
  readonly code: Zo2ErrorCode;

  constructor(code: Zo2ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The text of anything that can be thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** What the addon threw as a Zo2Error; its own `code` is kept. */
export function fromNative(thrown: unknown): Zo2Error {
  if (thrown instanceof Zo2Error) return thrown;
  const code = thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
  const known = code?.startsWith("ZO2_") ? (code as Zo2ErrorCode) : "ZO2_INTERNAL";
  return new Zo2Error(known, messageOf(thrown), { cause: thrown });
}

/** A failed file operation as a Zo2Error that names the path and what was being done. */
export function fromIo(thrown: unknown, doing: string, path: string): Zo2Error {
  if (thrown instanceof Zo2Error) return thrown;
  const code = (thrown as NodeJS.ErrnoException | null)?.code;
  const reason = code === "ENOENT" ? "no such file or directory" : messageOf(thrown);
  return new Zo2Error("ZO2_IO", `cannot ${doing} ${path}: ${reason}`, { cause: thrown });
}
