// Prefix tuning through the public API: settings, a run that goes on, texts behind it, exports,
// replays, and prefixes as a start.
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { exportModel, generate, plan, replay, type TrainConfig, train } from "zo2";
import { mergeFlags, trainFlags } from "../../dist/config/flags.js";
import { resolveTrainConfig } from "../../dist/config/resolve.js";
import { checkAdapterRun } from "../support/adapters.js";

const model = join(import.meta.dirname, "../../models/reviews-tiny");
const reviews = join(import.meta.dirname, "../../data/reviews/train.jsonl");
const common = {
  model,
  data: { train: reviews, task: "sst2", numTrain: 40, numDev: 10 },
  steps: 4,
  batchSize: 2,
  prefixTuning: { numVirtualTokens: 3 },
};
const code = "ZO2_INVALID_CONFIG";
const resolved = (changes: Partial<TrainConfig>) =>
  resolveTrainConfig({ ...common, output: "run", ...changes });

t.test("settings", (t) => {
  t.match(resolved({ prefixTuning: {} }), {
    prefixTuning: { numVirtualTokens: 5 },
    method: { learningRate: 1e-3, epsilon: 1e-1 },
  });
  t.match(resolved({ method: { name: "spsa1.5" } }).method, { learningRate: 1e-5, epsilon: 1e-3 });
  const refused = (changes: Partial<TrainConfig>, message: RegExp) =>
    t.throws(() => resolved(changes), { code, message });
  refused({ lora: {} }, /give one of trainable .* prefixTuning/);
  refused({ headTuning: true }, /give one of trainable .* prefixTuning/);
  const both = { numVirtualTokens: 2, adapter: "there" };
  refused(
    { prefixTuning: both },
    /prefixTuning\.numVirtualTokens is given, but prefixTuning\.adapter has/,
  );
  const made = { initByRealAct: true, adapter: "there" };
  refused(
    { prefixTuning: made },
    /prefixTuning\.initByRealAct is given, but prefixTuning\.adapter has/,
  );
  refused({ prefixTuning: { numVirtualTokens: 0 } }, /numVirtualTokens is 0; it must be/);
  const given = { "num-virtual-tokens": "7" };
  const { prefixTuning: _, ...plain } = common;
  const merged = mergeFlags(trainFlags, { ...plain, output: "run" }, given);
  t.same(merged["prefixTuning"], { numVirtualTokens: 7 });
  const from = mergeFlags(trainFlags, { ...plain, output: "run" }, { "prefix-adapter": "there" });
  t.same(from["prefixTuning"], { adapter: "there" });
  t.end();
});

t.test("a run, from its start to another that begins with its prefix", async (t) => {
  const at = await checkAdapterRun(t, common, (adapter) => ({ prefixTuning: { adapter } }));
  const { num_hidden_layers: layers } = JSON.parse(
    readFileSync(join(model, "config.json"), "utf8"),
  ) as { num_hidden_layers: number };
  t.match(JSON.parse(readFileSync(join(at("exported"), "adapter_config.json"), "utf8")), {
    peft_type: "PREFIX_TUNING",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: model,
    num_virtual_tokens: 3,
    num_layers: layers,
    prefix_projection: false,
  });
  const [text] = await generate({ run: at("whole"), prompts: "It was", maxNewTokens: 4 });
  t.ok((text?.tokens.length ?? 0) > 0, "texts go on behind it");
  const longer = { ...common, prefixTuning: { numVirtualTokens: 4 }, output: at("parts") };
  const message = /prefixTuning\.numVirtualTokens: saved 3, given 4/;
  await t.rejects(train(longer), { code: "ZO2_JOURNAL_MISMATCH", message });
});

t.test("one of the model's own activations is made once, and is the run's", async (t) => {
  const at = (name: string): string => join(dir, name);
  const dir = t.testdir();
  const own = { ...common, prefixTuning: { numVirtualTokens: 3, initByRealAct: true } };
  const weights = (name: string): Buffer =>
    readFileSync(join(at(name), "adapter_model.safetensors"));
  await train({ ...own, output: at("whole") });
  await train({ ...own, steps: 2, output: at("begun") });
  renameSync(at("begun"), at("moved"));
  t.match(await train({ ...own, output: at("moved") }), { resumedFrom: 2 });
  for (const name of ["whole", "moved"])
    await exportModel({ run: at(name), out: at(`${name}-out`) });
  t.same(weights("moved-out"), weights("whole-out"));
  t.not(weights("whole-out").equals(weights("whole/prefix")), "it was trained");
  const adapter = at("whole/prefix");
  const journal = at("whole/journal.ndjson");
  await replay({ base: model, journal, out: at("replayed"), adapter });
  t.same(weights("replayed"), weights("whole-out"));
  await train({ ...own, seed: 1, output: at("other") });
  t.not(weights("other/prefix").equals(weights("whole/prefix")), "other tokens");
  const without = train({ ...common, output: at("whole") });
  const message = /prefixTuning\.initByRealAct: saved true, given nothing/;
  await t.rejects(without, { code: "ZO2_JOURNAL_MISMATCH", message });
});

t.test("it takes its tokens from what the model reads", async (t) => {
  const output = join(t.testdir(), "run");
  const message = /prefixTuning\.numVirtualTokens is 1048575, but the model's .* allows/;
  const prefixTuning = { numVirtualTokens: 2 ** 20 - 1 };
  await t.rejects(train({ ...common, prefixTuning, output }), { code, message });
});

t.test("a plan counts it, and writes nothing of the model back", async (t) => {
  const of = { model: "opt-125m", device: "a100-pcie", memory: "2GB" } as const;
  const made = await plan({ ...of, prefixTuning: { numVirtualTokens: 48 } });
  t.equal(made.length, 2000);
  t.equal(made.predicted?.laneBytes.offload, 0);
  t.same(made.predicted?.violations, []);
  const without = await plan({ ...of, trainable: ["final_layer_norm"], length: 2000 });
  const bytesOf = (one: typeof made, name: string): number =>
    one.allocations.find((a) => a.name === name)?.bytes ?? 0;
  const kept = (one: typeof made): number => bytesOf(one, "1-D parameters");
  // f32, of 12 layers: keys and values of 768 columns each.
  t.equal(kept(made) - kept(without), 48 * 12 * 2 * 768 * 4);
});
