// Design rule 7: losses and weights are the same bits for every thread count, extent size, packing
// of rows, and however often a run is interrupted. Journals hold every loss, so files are compared.
import { join } from "node:path";
import t, { type Test } from "tap";
import type { NativeEvalResult, NativeEvent, NativeRows } from "../../dist/native.js";
import { firstDifference } from "../golden/compare.js";
import { lmRows, loadModel, modelPath, optionRows } from "../golden/models.js";
import {
  randomBits,
  readBytes,
  type RunSettings,
  someLmRows,
  someOptionRows,
  someOptions,
  someSequences,
  trainAndExport,
  trainOptions,
} from "./runs.js";

t.setTimeout(180_000); // of the whole file, for runs without .taprc

const journalOf = (folder: string): Buffer => readBytes(folder, "run/journal.ndjson");
const weightsOf = (folder: string): Buffer => readBytes(folder, "exported/model.safetensors");

/** Runs the same training under different settings; journal and weights must not differ. */
async function sameRuns(
  t: Test,
  model: string,
  rows: NativeRows,
  common: RunSettings,
  variants: Record<string, RunSettings["load"]>,
): Promise<void> {
  const base = t.testdir();
  const path = modelPath(model, base);
  let first: { journal: Buffer; weights: Buffer } | undefined;
  for (const [name, load] of Object.entries(variants)) {
    const folder = join(base, name);
    const settings = { ...common, load: { ...common.load, ...load } };
    const { engine } = await trainAndExport(path, folder, rows, settings);
    await engine.close();
    const made = { journal: journalOf(folder), weights: weightsOf(folder) };
    first ??= made;
    t.ok(made.journal.equals(first.journal), `${name}: journal`);
    t.ok(made.weights.equals(first.weights), `${name}: weights`);
  }
}

const threads = { one: { threads: 1 }, two: { threads: 2 }, three: { threads: 3 } };
const halves: RunSettings = {
  load: { storage: "bf16" },
  train: { roundEvery: 3, directions: 2, weightDecay: 0.1 },
};

t.test("threads: llama", (t) => sameRuns(t, "llama-tied-gqa", someLmRows(1, 9, 301), {}, threads));
t.test("threads: opt, option rows, bf16, two directions", (t) =>
  sameRuns(t, "opt-tied", someOptions(2, 9, 203), halves, threads),
);

// One panel in each extent, and all ten of a layer's panels in one (csrc/store/layout.h).
const placements = {
  large: { extentBytes: 64 << 20 },
  "large, 3 threads": { extentBytes: 64 << 20, threads: 3 },
  middle: { extentBytes: 3 << 20 },
  single: { extentBytes: 1 },
  "single, 1 thread": { extentBytes: 1, threads: 1 },
};
t.test("panels per extent: f32", (t) =>
  sameRuns(t, "panels", someLmRows(3, 6, 2100), { train: { steps: 4, batchSize: 3 } }, placements),
);
for (const storage of ["bf16+8", "q8"] as const) {
  const load = { storage };
  t.test(`threads: opt, ${storage}, two directions`, (t) =>
    sameRuns(t, "opt-tied", someLmRows(2, 9, 203), { ...halves, load }, threads),
  );
  t.test(`panels per extent: ${storage}`, (t) => {
    const train = { ...halves.train, steps: 4, batchSize: 3 };
    return sameRuns(t, "panels", someLmRows(4, 6, 2100), { load, train }, placements);
  });
}
t.test("panels per extent: bf16, option rows", (t) => {
  const train = { ...halves.train, steps: 4, batchSize: 3 };
  return sameRuns(t, "panels", someOptions(4, 6, 2100), { ...halves, train }, placements);
});

function permutation(seed: number, n: number): number[] {
  const random = randomBits(seed);
  const keyed = Array.from({ length: n }, (_, i) => [random(), i] as const);
  return keyed.sort(([a], [b]) => a - b).map(([, i]) => i);
}

const pick = <T>(list: readonly T[], order: number[]): T[] => order.map((i) => list[i] as T);

/** Per-row results in the order rows had before `order` was applied to them. */
function unpermute(values: Float64Array, order: number[]): Float64Array {
  const back = new Float64Array(values.length);
  order.forEach((from, to) => {
    back[from] = values[to] ?? NaN;
  });
  return back;
}

for (const model of ["opt-tied", "opt-350m-layout", "llama-tied-gqa", "llama-bf16"]) {
  for (const isa of ["auto", "v2"]) {
    t.test(`packing of evaluation rows: ${model}, ${isa}`, async (t) => {
      const { engine, info } = await loadModel(modelPath(model, ""), { isa });
      t.teardown(() => engine.close());
      const sequences = someSequences(5, 23, info.vocabSize);
      const rows = someOptionRows(6, 17, info.vocabSize);
      const first: Record<string, NativeEvalResult> = {};
      for (const batchTokens of [4096, 1, 40, 131]) {
        for (const seed of [1, 2, 3]) {
          const orders = { lm: permutation(seed, 23), options: permutation(seed, 17) };
          const lm = lmRows(pick(sequences, orders.lm));
          const options = optionRows(pick(rows, orders.options));
          for (const [kind, packed] of Object.entries({ lm, options })) {
            const result = await engine.evaluate({ rows: packed, batchTokens });
            const order = orders[kind as "lm" | "options"];
            result.rowLoss = unpermute(result.rowLoss, order);
            const same = (first[kind] ??= result);
            // NaNs would agree.
            if (same === result) t.ok(result.rowLoss.every(Number.isFinite), `${kind}: finite`);
            const at = firstDifference(result.rowLoss, same.rowLoss);
            t.equal(at, -1, `${kind}, order ${seed}, ${batchTokens} tokens a batch`);
          }
        }
      }
      const row = lmRows([sequences[7] ?? []]);
      const alone = await engine.evaluate({ rows: row, batchTokens: 1 });
      t.equal(alone.rowLoss[0], first["lm"]?.rowLoss[7], "a row alone");
    });
  }
}

/** Trains, stops every four steps and resumes in a new engine, until all are done. */
async function interrupted(path: string, folder: string, rows: NativeRows, how: RunSettings) {
  let resumed = 0;
  for (let stopAfter = 3; ; stopAfter += 4) {
    const { engine } = await loadModel(path, how.load);
    const train = { ...how.train, resume: "auto" } as const;
    const options = trainOptions(join(folder, "run"), rows, train);
    const { stopped } = await engine.train(options, (json) => {
      const event = JSON.parse(json) as NativeEvent;
      if (event.event === "start" && event.resumedFrom > 0) resumed++;
      if (event.event === "step" && event.step >= stopAfter) engine.stop();
    });
    if (!stopped) await engine.exportTo(join(folder, "exported"));
    await engine.close();
    if (!stopped) return resumed;
  }
}

const resumes: Record<string, { model: string; how: RunSettings }> = {
  "f32, linear schedule": {
    model: "llama-tied-gqa",
    how: { train: { lrSchedulerType: "linear", warmupSteps: 3, weightDecay: 0.1 } },
  },
  "bf16, rounded every 3": { model: "opt-tied", how: halves },
  "bf16+8, rounded every 3": {
    model: "llama-tied-gqa",
    how: { ...halves, load: { storage: "bf16+8" } },
  },
  "q8, rounded every 2": {
    model: "opt-tied",
    how: { load: { storage: "q8" }, train: { roundEvery: 2, weightDecay: 0.1 } },
  },
  "f16, rounded every 4 to nearest": {
    model: "llama-tied-gqa",
    how: { load: { storage: "f16" }, train: { roundEvery: 4, rounding: "nearest" } },
  },
};
for (const [name, { model, how }] of Object.entries(resumes)) {
  t.test(`an interrupted run: ${name}`, async (t) => {
    const folder = t.testdir();
    const path = modelPath(model, folder);
    const rows = someLmRows(11, 9, 200);
    const whole = join(folder, "whole");
    const parts = join(folder, "parts");
    const { engine } = await trainAndExport(path, whole, rows, how);
    await engine.close();
    t.ok((await interrupted(path, parts, rows, how)) > 1, "was resumed more than once");
    t.ok(journalOf(parts).equals(journalOf(whole)), "journal");
    t.ok(weightsOf(parts).equals(weightsOf(whole)), "weights");
  });

  t.test(`replay: ${name}`, async (t) => {
    const folder = t.testdir();
    const path = modelPath(model, folder);
    const made = await trainAndExport(path, folder, someLmRows(11, 9, 200), how);
    t.teardown(() => made.engine.close());
    for (const load of [{ threads: 1 }, { threads: 3, extentBytes: 1 }, { isa: "v2" }]) {
      const { engine, info } = await loadModel(path, { ...how.load, ...load });
      t.teardown(() => engine.close());
      t.equal(await engine.replay(made.journal), 20);
      const different: string[] = [];
      for (const { id, name } of info.tensors) {
        const [now, then] = [await engine.tensor(id), await made.engine.tensor(id)];
        if (firstDifference(now, then) !== -1) different.push(name);
      }
      t.strictSame(different, [], `weights with ${JSON.stringify(load)}`);
    }
  });
}

t.test("evaluation during a run changes nothing", async (t) => {
  const base = t.testdir();
  const path = modelPath("opt-tied", base);
  const rows = someLmRows(12, 9, 203);
  const evalRows = someLmRows(13, 5, 203);
  for (const [name, evalEvery] of Object.entries({ never: 0, often: 1, seldom: 4 })) {
    const folder = join(base, name);
    const train = { ...halves.train, evalEvery, evalRows: evalEvery ? evalRows : null };
    const { engine, events } = await trainAndExport(path, folder, rows, { ...halves, train });
    await engine.close();
    const evaluations = events.filter((e) => e.event === "eval").length;
    t.equal(evaluations, evalEvery && 20 / evalEvery, `${name}: evaluations`);
    t.ok(journalOf(folder).equals(journalOf(join(base, "never"))), `${name}: journal`);
    t.ok(weightsOf(folder).equals(weightsOf(join(base, "never"))), `${name}: weights`);
  }
});

t.test("a second run of one engine starts from the base again", async (t) => {
  const folder = t.testdir();
  const rows = someLmRows(14, 9, 203);
  const made = await trainAndExport(modelPath("opt-tied", ""), folder, rows, halves);
  t.teardown(() => made.engine.close());
  const again = trainOptions(join(folder, "again/run"), rows, halves.train);
  await made.engine.train(again, () => {});
  t.ok(journalOf(join(folder, "again")).equals(journalOf(folder)));
});
