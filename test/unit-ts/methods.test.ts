// Methods through the public API: defaults, constants, and a run of each that is interrupted and goes on.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { evaluate, exportModel, type MethodConfig, replay, train, type TrainConfig } from "zo2";
import { methodNames } from "../../dist/config/methods.js";
import { resolveTrainConfig } from "../../dist/config/resolve.js";

const model = join(import.meta.dirname, "../../models/reviews-tiny");
const reviews = join(import.meta.dirname, "../../data/reviews/train.jsonl");
const common = { model, data: { train: reviews, task: "sst2" }, batchSize: 2 };

const resolved = (method: MethodConfig, more: Partial<TrainConfig> = {}) =>
  resolveTrainConfig({ ...common, ...more, method, steps: 1, output: "run" }).method;
const q8 = { schedule: { storage: "q8" } } as const;

t.test("each method has its own defaults, which what is given replaces", (t) => {
  t.match(resolved({}), { name: "mezo", directions: 1, learningRate: 1e-6, epsilon: 1e-3 });
  const fzoo = { directions: 8, distribution: "rademacher", learningRate: 1e-3, epsilon: 1e-3 };
  t.match(resolved({ name: "fzoo" }), fzoo);
  t.match(resolved({ name: "fzoo", epsilon: 1e-4 }), { ...fzoo, epsilon: 1e-4 });
  t.match(resolved({ name: "es", directions: 3 }), { directions: 3, learningRate: 1e-3 });
  t.match(resolved({ name: "meazo", adamBeta2: 0.9 }), { adamBeta2: 0.9, adamEpsilon: 1e-8 });
  t.match(resolved({ name: "qzo" }, q8), { epsilon: 1e-2, learningRate: 1e-3, clip: 100 });
  t.notOk("adamBeta2" in resolved({}));
  t.end();
});

t.test("what a method cannot use is refused by name", (t) => {
  const code = "ZO2_INVALID_CONFIG";
  const refused = (method: MethodConfig, message: RegExp, more: Partial<TrainConfig> = {}) =>
    t.throws(() => resolved(method, more), { code, message });
  refused({ name: "fzoo", directions: 1 }, /method\.directions is 1; fzoo needs 2/);
  refused({ lambdaReg: 2 }, /method\.lambdaReg is given, but mezo has no such constant/);
  refused({ rank: 2 }, /method\.rank is given, but mezo has no such constant/);
  refused({ name: "lozo", rank: 33 }, /method\.rank/);
  refused({ name: "qzo" }, /storage is "f32", but qzo trains the scales of q8; give/);
  refused({ name: "qzo" }, /lora is given, but qzo trains the scales of q8/, { ...q8, lora: {} });
  refused({ name: "sparse", sparsity: 1 }, /method\.sparsity/);
  refused({ name: "meazo", window: 3 }, /method\.window is given, but meazo has no such/);
  refused({ name: "adam" as "mezo" }, /method\.name is "adam"; .*"fzoo"/);
  t.end();
});

for (const name of methodNames) {
  t.test(`${name}: a run that goes on is the run that was not interrupted`, async (t) => {
    const dir = t.testdir();
    const method = { name, directions: 2 };
    const run = async (output: string, steps: number) => {
      const losses: (number | null)[] = [];
      const onStep = ({ loss }: { loss: number | null }) => losses.push(loss);
      const stored = name === "qzo" ? q8 : {};
      await train({ ...common, ...stored, method, steps, output: join(dir, output) }, { onStep });
      return losses;
    };
    const whole = await run("whole", 5);
    t.equal(whole.length, 5);
    t.ok(whole.every((loss) => typeof loss === "number" && loss > 0));
    const parts = [...(await run("parts", 2)), ...(await run("parts", 5))];
    t.strictSame(parts, whole);
    const journal = (of: string) =>
      readFileSync(join(dir, of, "journal.ndjson"), "utf8").split("\n");
    t.strictSame(journal("parts").slice(1), journal("whole").slice(1));
  });
}

t.test("a run of qzo is evaluated, exported and replayed as what it trained", async (t) => {
  const dir = t.testdir();
  const output = join(dir, "run");
  await train({ ...common, ...q8, method: { name: "qzo" }, steps: 3, output });
  const header = JSON.parse(
    readFileSync(join(output, "journal.ndjson"), "utf8").split("\n")[0] ?? "",
  ) as { storage: string; roundEvery: number; tensors: { shape: number[]; trainable: boolean }[] };
  t.match(header, { storage: "q8s", roundEvery: 1 });
  t.ok(header.tensors.every(({ shape, trainable }) => trainable === (shape.length === 2)));
  const { loss } = await evaluate({ run: output, data: reviews, task: "sst2", numEval: 8 });
  t.ok(Number.isFinite(loss));
  const weights = (of: string) => readFileSync(join(dir, of, "model.safetensors"));
  await exportModel({ run: output, out: join(dir, "exported") });
  const journal = join(output, "journal.ndjson");
  await replay({ base: model, journal, out: join(dir, "replayed") });
  t.ok(weights("replayed").equals(weights("exported")));
});
