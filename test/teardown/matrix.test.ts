// Every method in every state: it does what the table says, or rejects with the code the table says;
// never anything else. First of the addon's engine, then of the public handle over it.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { Trainer, type TrainConfig, Zo2Error } from "zo2";
import { native, type NativeEngine } from "../../dist/native.js";
import { modelPath } from "../golden/models.js";
import { trainOptions } from "../oracle/runs.js";
import { loadOptions, reach, rows, shortRun, type State, states } from "./states.js";

t.setTimeout(300_000);

const folder = t.testdir();
const prepared = new native.Engine();
await prepared.load(loadOptions);
const journal = await shortRun(prepared, folder);
await prepared.close();

/** "ok", or the code of the error. */
async function outcome(call: () => unknown): Promise<string> {
  try {
    await call();
    return "ok";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const methods: Record<string, (engine: NativeEngine, folder: string) => unknown> = {
  load: (engine) => engine.load(loadOptions),
  train: (engine, folder) =>
    engine.train(trainOptions(join(folder, "more"), rows, { steps: 2 }), () => undefined),
  evaluate: (engine) => engine.evaluate({ rows, batchTokens: 256 }),
  replay: (engine) => engine.replay(journal),
  exportTo: (engine, folder) => engine.exportTo(join(folder, "out")),
  writePrefix: (engine, folder) => engine.writePrefix(2, 1, join(folder, "prefix")),
  logits: (engine) => engine.logits(Int32Array.of(5, 6, 7)),
  tensor: (engine) => engine.tensor(0),
  stop: (engine) => engine.stop(),
  answerScore: (engine) => engine.answerScore(new Float64Array(8), null),
  close: (engine) => engine.close(),
};

// Jobs queue behind each other, so what is busy is no reason to refuse; without a model most are.
const unloaded: Record<string, string> = { load: "ok", stop: "ok", answerScore: "ok", close: "ok" };
const acts = { stop: "ok", answerScore: "ok" };
const tables: Partial<Record<State, (method: string) => string>> = {
  idle: (method) => unloaded[method] ?? "ZO2_BUSY",
  "failed to load": (method) => unloaded[method] ?? "ZO2_BUSY",
  closed: (method) => (method in acts ? "ok" : "ZO2_CLOSED"),
};

for (const state of states) {
  t.test(`engine, ${state}`, async (t) => {
    for (const [method, call] of Object.entries(methods)) {
      const { engine, folder, settle } = await reach(state);
      const called = outcome(() => call(engine, folder));
      await settle();
      t.equal(await called, tables[state]?.(method) ?? "ok", method);
      await outcome(() => engine.close());
      rmSync(folder, { recursive: true, force: true });
    }
  });
  t.test(`engine, ${state}: arguments of the wrong type`, async (t) => {
    const { engine, folder, settle } = await reach(state);
    const wrong = engine as unknown as Record<string, (...args: unknown[]) => unknown>;
    for (const method of ["load", "train", "evaluate", "logits", "answerScore"]) {
      for (const args of [[], [null, null], [7, "x"], [{}, {}]]) {
        // answerScore takes any text for an error.
        if (method === "answerScore" && args[1] === "x") continue;
        t.throws(() => wrong[method]?.(...args), `${method}(${JSON.stringify(args)})`);
      }
    }
    t.throws(() => wrong["replay"]?.("x", 7), "replay options");
    await settle();
    await outcome(() => engine.close());
    rmSync(folder, { recursive: true, force: true });
  });
}

const handleStates = [
  "starting",
  "running",
  "evaluating",
  "checkpointing",
  "ended",
  "stopped",
  "failed",
  "closed",
] as const;
type HandleState = (typeof handleStates)[number];

const sequences = Array.from({ length: 12 }, (_, i) => ({
  input_ids: Array.from({ length: 6 + i }, (_, j) => (i * 31 + j * 17) % 200),
}));
const rowsFile = join(folder, "rows.jsonl");
writeFileSync(rowsFile, sequences.map((row) => `${JSON.stringify(row)}\n`).join(""));

function configFor(state: HandleState, output: string): TrainConfig {
  const finishes = state === "ended" || state === "closed";
  return {
    model: modelPath("opt-tied", ""),
    data: { train: rowsFile, eval: rowsFile },
    steps: finishes ? 3 : 1_000_000,
    batchSize: 2,
    evalEvery: state === "evaluating" ? 1 : 0,
    schedule: { checkpointEvery: state === "checkpointing" ? 1 : 0, threads: 2 },
    output,
  };
}

async function reachHandle(state: HandleState, output: string): Promise<Trainer> {
  if (state === "failed") {
    mkdirSync(output, { recursive: true });
    writeFileSync(join(output, "journal.ndjson"), "not a journal\n");
  }
  const wanted = { checkpointing: "checkpoint", evaluating: "eval" }[state as string] ?? "step";
  let reached: () => void = () => undefined;
  const event = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const trainer = new Trainer(configFor(state, output), {
    onEvent: (told) => {
      if (told.event === wanted) reached();
    },
  });
  if (state === "starting") return trainer;
  await Promise.race([event, trainer.result.catch(() => undefined)]);
  if (state === "stopped") await trainer.stop();
  if (state === "ended" || state === "closed") await trainer.result;
  if (state === "closed") await trainer.close();
  return trainer;
}

const handleMethods: Record<string, (trainer: Trainer, folder: string) => unknown> = {
  stop: (trainer) => trainer.stop(),
  evaluate: (trainer) => trainer.evaluate(sequences),
  export: (trainer, folder) => trainer.export(join(folder, "out")),
  close: (trainer) => trainer.close(),
  dispose: (trainer) => trainer[Symbol.asyncDispose](),
  iterate: async (trainer) => {
    for await (const _ of trainer) break;
  },
  "stop twice": (trainer) => Promise.all([trainer.stop(), trainer.stop()]),
  "close and stop": (trainer) => Promise.all([trainer.close(), trainer.stop(), trainer.close()]),
};

// lib/training-run.ts, at the top; what is not named here works.
const working = { evaluate: "ZO2_BUSY", export: "ZO2_BUSY" };
const gone = { evaluate: "ZO2_CLOSED", export: "ZO2_CLOSED" };
const handleTable: Partial<Record<HandleState, Record<string, string>>> = {
  starting: working,
  running: working,
  evaluating: working,
  checkpointing: working,
  failed: { ...gone, iterate: "ZO2_JOURNAL_CORRUPT" },
  closed: gone,
};

for (const state of handleStates) {
  t.test(`trainer, ${state}`, async (t) => {
    for (const [method, call] of Object.entries(handleMethods)) {
      const place = join(folder, `${state}-${method}`.replaceAll(" ", "-"));
      const trainer = await reachHandle(state, join(place, "run"));
      const expected = handleTable[state]?.[method] ?? "ok";
      t.equal(await outcome(() => call(trainer, place)), expected, method);
      await trainer.close();
      const result = await trainer.result.catch((error: unknown) => error);
      const fine = state === "failed" ? result instanceof Zo2Error : "step" in (result as object);
      t.ok(fine, `${method}: result settles`);
    }
  });
}
