// A run directory as TypeScript sees it: config.json and metrics.ndjson are written here, the
// engine owns journal.ndjson and the lock.
import {
  closeSync,
  createReadStream,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { checkIdentity } from "./config/identity.js";
import { check } from "./config/problems.js";
import { trainSchema } from "./config/schema.js";
import type { ResolvedTrainConfig } from "./config/types.js";
import { fromIo, messageOf, Zo2Error } from "./errors.js";

export interface RunFiles {
  config: string;
  journal: string;
  metrics: string;
  report: string;
  checkpoints: string;
  /** Directory of the prefix that the run made to begin from, if it did. */
  prefix: string;
}

export function runFiles(run: string): RunFiles {
  return {
    config: join(run, "config.json"),
    journal: join(run, "journal.ndjson"),
    metrics: join(run, "metrics.ndjson"),
    report: join(run, "report.html"),
    checkpoints: join(run, "checkpoints"),
    prefix: join(run, "prefix"),
  };
}

const newline = 0x0a;

async function readConfig(path: string): Promise<ResolvedTrainConfig | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fromIo(error, "read", path);
  }
  try {
    return check(trainSchema, JSON.parse(text));
  } catch (error) {
    const message = `${path} is not the configuration of a run: ${messageOf(error)}`;
    throw new Zo2Error("ZO2_INVALID_CONFIG", message, { cause: error });
  }
}

/**
 * Steps that a journal holds, as far as its whole lines show: the engine also looks at their
 * checksums. Undefined without a header: nothing has begun there.
 */
async function committedSteps(journal: string): Promise<number | undefined> {
  let lines = 0;
  try {
    for await (const chunk of createReadStream(journal) as AsyncIterable<Buffer>) {
      for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, at + 1))
        lines += 1;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw fromIo(error, "read", journal);
  }
  return lines > 0 ? lines - 1 : undefined;
}

/** The configuration of a run that has begun. @throws Zo2Error ZO2_RUN_NOT_FOUND */
export async function openRun(run: string): Promise<ResolvedTrainConfig> {
  const { config, journal } = runFiles(run);
  // A model's directory has a config.json, too.
  const hasBegun = (await committedSteps(journal)) !== undefined;
  const saved = hasBegun ? await readConfig(config) : undefined;
  if (saved) return saved;
  const missing = hasBegun ? `${config} is not there` : `${journal} is not there or has no header`;
  throw new Zo2Error("ZO2_RUN_NOT_FOUND", `${run} holds no run: ${missing}`);
}

/**
 * Steps of the run that `config.output` holds; undefined when it holds none.
 * @throws Zo2Error ZO2_RUN_EXISTS, ZO2_RUN_NOT_FOUND, ZO2_JOURNAL_MISMATCH
 */
export async function findRun(config: ResolvedTrainConfig): Promise<number | undefined> {
  const { output, resume } = config;
  const files = runFiles(output);
  const steps = await committedSteps(files.journal);
  const found = steps !== undefined;
  if (found && resume === "never") {
    const message = `${output} already holds a run; give another output, or resume "auto"`;
    throw new Zo2Error("ZO2_RUN_EXISTS", message);
  }
  if (!found && resume === "required") {
    const missing = `${files.journal} is not there or has no header`;
    const message = `${output} holds no run to resume: ${missing}; give its directory, or resume "auto"`;
    throw new Zo2Error("ZO2_RUN_NOT_FOUND", message);
  }
  if (found) {
    const saved = await readConfig(files.config);
    if (saved) checkIdentity(saved, config, files.config);
  }
  return steps;
}

/** A run cannot become shorter than it is. @throws Zo2Error ZO2_JOURNAL_MISMATCH */
export function checkLength({ steps, output }: ResolvedTrainConfig, committed: number): void {
  if (committed <= steps) return;
  const message = `${runFiles(output).journal} holds ${committed} steps, but steps is ${steps}`;
  const advice = `give steps of at least ${committed}, or another output`;
  throw new Zo2Error("ZO2_JOURNAL_MISMATCH", `${message}; ${advice}`);
}

/** Makes what was created and renamed in a directory durable. */
function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

let temporaries = 0;

/** Writes a file so that a crash leaves the old one or the new one, never half of one. @throws Zo2Error ZO2_IO */
export function writeAtomically(path: string, text: string): void {
  const temporary = `${path}.${process.pid}-${temporaries++}.tmp`;
  try {
    const file = openSync(temporary, "w");
    try {
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    syncDirectory(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw fromIo(error, "write", path);
  }
}

/**
 * Saves a run's configuration; call it when the run directory is locked. `resume` is about one
 * start, not about the run. @throws Zo2Error ZO2_IO
 */
export function saveConfig(config: ResolvedTrainConfig): void {
  const { resume: _, ...saved } = config;
  const text = `${JSON.stringify(saved, null, 2)}\n`;
  writeAtomically(runFiles(config.output).config, text);
}
