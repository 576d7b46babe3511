// Brings an engine into every state it can be in when something is asked of it, or when its process
// or worker ends.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { native, type NativeEngine, type NativeEvent } from "../../dist/native.js";
import { modelPath } from "../golden/models.js";
import { someLmRows, trainOptions } from "../oracle/runs.js";

export const states = [
  "idle",
  "loading",
  "ready",
  "training",
  "asking for scores",
  "evaluating",
  "checkpointing",
  "replaying",
  "exporting",
  "failed to load",
  "failed to train",
  "closed",
] as const;
export type State = (typeof states)[number];

export interface Reached {
  engine: NativeEngine;
  /** A new folder. */
  folder: string;
  /** Lets what is in flight end, however it does. */
  settle(): Promise<void>;
}

const path = modelPath("opt-tied", "");
export const loadOptions = {
  path,
  storage: "f32",
  threads: 2,
  isa: "auto",
  extentBytes: 1 << 20,
} as const;
export const rows = someLmRows(1, 9, 203);
/** Enough of them that an evaluation takes a while. */
const manyRows = someLmRows(2, 2000, 203);

const quiet = (promise: Promise<unknown>): Promise<void> =>
  promise.then(
    () => undefined,
    () => undefined,
  );

/** Trains without end; resolves at the first event of a kind. */
function trainUntil(engine: NativeEngine, folder: string, wanted: NativeEvent["event"]) {
  const endless = {
    steps: 1_000_000,
    checkpointEvery: wanted === "checkpoint" ? 1 : 0,
    customObjective: wanted === "score",
  };
  let training: Promise<unknown> = Promise.resolve();
  const reached = new Promise<void>((resolve, reject) => {
    const options = trainOptions(join(folder, "run"), rows, endless);
    let seen = 0;
    training = engine.train(options, (json) => {
      if ((JSON.parse(json) as NativeEvent).event === wanted && ++seen === 3) resolve();
      // Three questions take two answers.
      else if (wanted === "score" && seen < 3) engine.answerScore(new Float64Array(8), null);
    });
    training.catch(reject);
  });
  return { training, reached };
}

/** The journal of a short run, in a folder of its own. */
export async function shortRun(engine: NativeEngine, folder: string, steps = 3): Promise<string> {
  const output = join(folder, "short");
  await engine.train(trainOptions(output, rows, { steps }), () => undefined);
  return join(output, "journal.ndjson");
}

/** In an object, because a promise of a promise is the promise of its end. */
interface Begun {
  pending?: Promise<unknown>;
}

async function begin(state: State, engine: NativeEngine, folder: string): Promise<Begun> {
  switch (state) {
    case "idle":
      return {};
    case "loading":
      return { pending: engine.load(loadOptions) };
    case "failed to load":
      await quiet(engine.load({ ...loadOptions, path: join(folder, "nothing") }));
      return {};
    default:
      await engine.load(loadOptions);
  }
  switch (state) {
    case "evaluating":
      return { pending: engine.evaluate({ rows: manyRows, batchTokens: 64 }) };
    case "replaying":
      return { pending: engine.replay(await shortRun(engine, folder, 50)) };
    case "exporting":
      return { pending: engine.exportTo(join(folder, "exporting")) };
    case "failed to train":
      writeFileSync(join(folder, "journal.ndjson"), "not a journal\n");
      await quiet(engine.train(trainOptions(folder, rows), () => undefined));
      return {};
    case "closed":
      await engine.close();
      return {};
    default:
      return {};
  }
}

const events = {
  training: "step",
  "asking for scores": "score",
  checkpointing: "checkpoint",
} as const;

export async function reach(state: State): Promise<Reached> {
  const engine = new native.Engine();
  const folder = mkdtempSync(join(tmpdir(), "zo2-states-"));
  if (state === "training" || state === "asking for scores" || state === "checkpointing") {
    await engine.load(loadOptions);
    const { training, reached } = trainUntil(engine, folder, events[state]);
    await reached;
    const settle = (): Promise<void> => {
      engine.stop();
      return quiet(training);
    };
    return { engine, folder, settle };
  }
  const { pending = Promise.resolve() } = await begin(state, engine, folder);
  const settled = quiet(pending);
  return { engine, folder, settle: () => settled };
}
