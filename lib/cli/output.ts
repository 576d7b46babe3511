// Where the command line writes: results on stdout (with --json one object a line, nothing else),
// everything for people besides results on stderr.
import { Zo2Error } from "../errors.js";

export interface Output {
  readonly json: boolean;
  /** A line of stdout with --json. */
  object(value: object): void;
  /** A line of stdout without --json. */
  text(line: string): void;
  /** A piece of stdout without --json. */
  piece(text: string): void;
  /** A line of stderr. */
  note(line: string): void;
}

export function createOutput(json: boolean): Output {
  return {
    json,
    object(value) {
      if (json) process.stdout.write(`${JSON.stringify(value)}\n`);
    },
    text(line) {
      if (!json) process.stdout.write(`${line}\n`);
    },
    piece(text) {
      if (!json) process.stdout.write(text);
    },
    note(line) {
      process.stderr.write(`${line}\n`);
    },
  };
}

/** Ends quietly when the reader of stdout has gone (`zo2 ... | head`). */
export function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(1);
    throw error;
  });
}

/** Reports an error on stderr, and with --json on stdout. */
export function reportError(output: Output, thrown: unknown): void {
  const code = thrown instanceof Zo2Error ? thrown.code : "ZO2_INTERNAL";
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  output.note(`zo2: ${code}: ${message}`);
  output.object({ event: "error", code, message });
  // What nobody foresaw is for the maintainers.
  if (!(thrown instanceof Zo2Error) && thrown instanceof Error && thrown.stack) {
    output.note(thrown.stack);
  }
}

/** A loss or rate with four digits; "-" for none. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return "-";
  const rounded = Number(value.toPrecision(4));
  return value !== 0 && Math.abs(value) < 1e-3 ? rounded.toExponential() : String(rounded);
}

/** A share as a percentage. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** What is known of how right answers are, each behind `separator`. */
export function shares(
  { accuracy, f1, exactMatch }: Record<"accuracy" | "f1" | "exactMatch", number | null>,
  separator: string,
): string {
  return Object.entries({ accuracy, F1: f1, "exact match": exactMatch })
    .map(([name, share]) => (share === null ? "" : `${separator}${name} ${percent(share)}`))
    .join("");
}

/** Seconds as "1h 02m", "3m 20s", "12s". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number): string => String(n).padStart(2, "0");
  if (h > 0) return `${h}h ${two(m)}m`;
  return m > 0 ? `${m}m ${two(s)}s` : `${s}s`;
}
