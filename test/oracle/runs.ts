// Short training runs of the native engine, and what they leave: a journal and exported weights.
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type {
  NativeEngine,
  NativeEvent,
  NativeLoadOptions,
  NativeRows,
  NativeTrainOptions,
} from "../../dist/native.js";
import { loadModel, lmRows, type OptionRow, optionRows, root } from "../golden/models.js";

const run = promisify(execFile);

export interface RunSettings {
  load?: Partial<NativeLoadOptions>;
  train?: Partial<NativeTrainOptions>;
  onEvent?: (event: NativeEvent, engine: NativeEngine) => void;
}

export function trainOptions(
  output: string,
  trainRows: NativeRows,
  changes: Partial<NativeTrainOptions> = {},
): NativeTrainOptions {
  return {
    output,
    resume: "never",
    steps: 20,
    batchSize: 4,
    seed: 20260101,
    learningRate: 1e-4,
    lrSchedulerType: "constant",
    warmupSteps: 0,
    minLearningRateRatio: 0,
    weightDecay: 0,
    epsilon: 1e-3,
    directions: 1,
    distribution: "gaussian",
    clip: 0,
    maxSkipped: 3,
    roundEvery: 1,
    rounding: "stochastic",
    evalEvery: 0,
    trainRows,
    evalRows: null,
    evalBatchTokens: 256,
    customObjective: false,
    identity: {},
    ...changes,
  };
}

export interface Run {
  journal: string;
  exported: string;
  events: NativeEvent[];
  engine: NativeEngine;
  /** Of all roundings but the last record's, which no step wrote back. */
  saturated: number;
}

/** Trains into `folder`/run and exports to `folder`/exported. The caller closes the engine. */
export async function trainAndExport(
  model: string,
  folder: string,
  rows: NativeRows,
  settings: RunSettings = {},
): Promise<Run> {
  const { engine } = await loadModel(model, settings.load);
  const events: NativeEvent[] = [];
  const output = join(folder, "run");
  const options = trainOptions(output, rows, settings.train);
  const { saturated } = await engine.train(options, (json) => {
    const event = JSON.parse(json) as NativeEvent;
    events.push(event);
    settings.onEvent?.(event, engine);
  });
  const exported = join(folder, "exported");
  await engine.exportTo(exported);
  return { journal: join(output, "journal.ndjson"), exported, events, engine, saturated };
}

export const readBytes = (folder: string, file: string): Buffer => readFileSync(join(folder, file));

/** 32 random bits a call, from one seed (mulberry32). */
export function randomBits(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  };
}

/** Language-modelling rows of 2 to 61 tokens. */
export function someLmRows(seed: number, count: number, vocabulary: number): NativeRows {
  return lmRows(someSequences(seed, count, vocabulary));
}

export function someSequences(seed: number, count: number, vocabulary: number): number[][] {
  const random = randomBits(seed);
  const tokens = (n: number): number[] => Array.from({ length: n }, () => random() % vocabulary);
  const length = (i: number): number => 2 + (random() % (i % 5 === 0 ? 60 : 24));
  return Array.from({ length: count }, (_, i) => tokens(length(i)));
}

/** Rows of two or three options of 1 to 4 tokens; some options begin as another one does. */
export function someOptionRows(seed: number, count: number, vocabulary: number): OptionRow[] {
  const random = randomBits(seed);
  const tokens = (n: number): number[] => Array.from({ length: n }, () => random() % vocabulary);
  return Array.from({ length: count }, (_, i) => {
    const prompt = tokens(3 + (random() % 12));
    const first = tokens(1 + (random() % 2));
    const longer = [...first, ...tokens(1 + (random() % 2))];
    const other = tokens(1 + (random() % 4));
    const endings = i % 3 === 0 ? [first, other] : [other, first, longer];
    return {
      options: endings.map((ending) => [...prompt, ...ending]),
      promptLength: prompt.length,
      gold: random() % endings.length,
    };
  });
}

export const someOptions = (seed: number, count: number, vocabulary: number): NativeRows =>
  optionRows(someOptionRows(seed, count, vocabulary));

/** A Python that has these packages, or why there is none. */
export async function findPython(
  packages = ["numpy"],
): Promise<{ python: string } | { missing: string }> {
  const local = join(root, ".venv/bin/python");
  const python = process.env["ZO2_PYTHON"] ?? (existsSync(local) ? local : "python3");
  try {
    await run(python, ["-c", `import ${packages.join(", ")}`]);
    return { python };
  } catch {
    const names = packages.join(", ");
    return { missing: `${python} cannot import ${names}; set ZO2_PYTHON to a Python that can` };
  }
}

export interface Verdict {
  ok: boolean;
  steps: number;
  differentElements: number;
  /** How often the end of a q8 grid held a weight back, up to the record before the last. */
  saturated: number;
  worstRatio: { loss: number; projectedGrad: number; projectedGradOfLoss: number };
  problems: string[];
}

/** test/oracle/reference.py on a finished run; without rows losses are taken as they are. */
export async function checkRun(
  python: string,
  base: string,
  made: Pick<Run, "journal" | "exported">,
  rows: NativeRows | null,
  folder: string,
  adapter?: string,
): Promise<Verdict> {
  const script = join(root, "test/oracle/reference.py");
  const files = ["--journal", made.journal, "--exported", made.exported];
  if (adapter !== undefined) files.push("--adapter", adapter);
  if (rows) {
    const rowsFile = join(folder, "rows.json");
    const plain = Object.entries(rows).map(([key, value]) => [
      key,
      typeof value === "string" ? value : [...value],
    ]);
    writeFileSync(rowsFile, JSON.stringify(Object.fromEntries(plain)));
    files.push("--rows", rowsFile);
  }
  const options = { maxBuffer: 1 << 24, env: { ...process.env, OMP_NUM_THREADS: "1" } };
  const output = await run(python, [script, "check", "--base", base, ...files], options).catch(
    (error: { stdout?: string; message: string }) => {
      if (!error.stdout) throw error;
      return { stdout: error.stdout };
    },
  );
  return JSON.parse(output.stdout) as Verdict;
}
