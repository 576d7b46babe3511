// The command line as a process that can be killed, and small runs for it.
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomBits } from "../oracle/runs.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const main = join(root, "dist/cli/main.js");
export const modelPath = (name: string): string => join(root, "test/fixtures/models", name);

/** One line of stdout with --json. */
export interface Line {
  event: string;
  step?: number;
  resumedFrom?: number;
  replayedFrom?: number;
  notes?: string[];
  code?: string;
  message?: string;
}
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  lines: Line[];
  err: string;
}

export interface Watch {
  /** Called for every line of stdout; may kill. */
  onLine?: (line: Line, kill: () => void) => void;
  /** Milliseconds after which the process is killed. */
  killAfterMs?: number;
  /** A shell command before the program: "ulimit -f 8". */
  shell?: string;
}

/** Runs `zo2 ... --json` to its end, whatever that is. */
export function zo2(args: string[], { onLine, killAfterMs, shell }: Watch = {}): Promise<Ended> {
  const program = [process.execPath, main, ...args, "--json"];
  // Without what the test runner puts into the environment: it would write files of its own.
  const before = `unset NODE_OPTIONS NODE_V8_COVERAGE; ${shell}; exec "$@"`;
  const child = shell
    ? spawn("bash", ["-c", before, "bash", ...program])
    : spawn(process.execPath, program.slice(1));
  const kill = (): void => {
    child.kill("SIGKILL");
  };
  const timer = killAfterMs === undefined ? undefined : setTimeout(kill, killAfterMs);
  const lines: Line[] = [];
  let rest = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      const line = JSON.parse(part) as Line;
      lines.push(line);
      onLine?.(line, kill);
    }
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  return new Promise((done) => {
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      done({ code, signal, lines, err });
    });
  });
}

/** The error a process reported as its last line. */
export const errorOf = ({ lines }: Ended): string => {
  const { code = "", message = "" } = lines.at(-1) ?? {};
  return `${code}: ${message}`;
};

export function writeRows(folder: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "rows.jsonl");
  const random = randomBits(3);
  const rows = Array.from({ length: 12 }, (_, i) => ({
    input_ids: Array.from({ length: 6 + (i % 7) }, () => random() % 200),
  }));
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  return path;
}

export interface SmallRun {
  model: string;
  rows: string;
  output: string;
  steps: number;
  flags?: string[];
}

export function trainArgs({ model, rows, output, steps, flags = [] }: SmallRun): string[] {
  const what = ["--model", model, "--data", rows, "--output", output, "--steps", String(steps)];
  return ["train", ...what, "--batch-size", "2", "--learning-rate", "1e-3", ...flags];
}

/** Every file of a directory of files, by name. */
export function contents(folder: string): Record<string, Buffer> {
  const names = readdirSync(folder).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))]));
}

/** Names of files in which two directories differ. */
export function differences(a: string, b: string): string[] {
  const [left, right] = [contents(a), contents(b)];
  const names = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...names].filter((name) => !left[name] || !right[name]?.equals(left[name]));
}
