// LoRA through the public API: settings, a run that goes on, exports, replays, and adapters as a start.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { evaluate, exportModel, plan, replay, type TrainConfig, train } from "zo2";
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
  lora: { r: 2, loraAlpha: 4 },
};
const code = "ZO2_INVALID_CONFIG";
const resolved = (changes: Partial<TrainConfig>) =>
  resolveTrainConfig({ ...common, output: "run", ...changes });

t.test("settings", (t) => {
  t.match(resolved({ lora: {} }), {
    lora: { r: 8, loraAlpha: 16 },
    method: { learningRate: 5e-5, epsilon: 1e-2 },
  });
  t.match(resolved({ method: { epsilon: 1e-3 } }).method, { learningRate: 5e-5, epsilon: 1e-3 });
  t.match(resolved({ method: { name: "es" } }).method, { learningRate: 1e-3, epsilon: 1e-3 });
  const refused = (changes: Partial<TrainConfig>, message: RegExp) =>
    t.throws(() => resolved(changes), { code, message });
  refused({ trainable: ["norm"] }, /give one of trainable .* lora/);
  refused({ lora: { r: 2, adapter: "there" } }, /lora\.r is given, but lora\.adapter has its own/);
  refused({ lora: { r: 0 } }, /lora\.r is 0; it must be an integer from 1/);
  const given = { "lora-r": "3", "lora-alpha": "9", "target-modules": '["fc1"]' };
  const merged = mergeFlags(trainFlags, { ...common, lora: {}, output: "run" }, given);
  t.same(merged["lora"], { r: 3, loraAlpha: 9, targetModules: ["fc1"] });
  t.end();
});

t.test("a run, from its start to another that begins with its adapter", async (t) => {
  const at = await checkAdapterRun(t, common, (adapter) => ({ lora: { adapter } }));
  t.match(JSON.parse(readFileSync(join(at("exported"), "adapter_config.json"), "utf8")), {
    peft_type: "LORA",
    base_model_name_or_path: model,
    r: 2,
    lora_alpha: 4,
    fan_in_fan_out: false,
  });
  const other = train({ ...common, lora: { r: 3, loraAlpha: 4 }, output: at("parts") });
  await t.rejects(other, { code: "ZO2_JOURNAL_MISMATCH", message: /lora\.r: saved 2, given 3/ });
  const whole = { ...common, lora: undefined, output: at("parts") };
  await t.rejects(train(whole), { code: "ZO2_JOURNAL_MISMATCH" });
});

t.test("merged into the weights", async (t) => {
  const dir = t.testdir();
  const at = (name: string): string => join(dir, name);
  // Far enough that the base is another model.
  await train({ ...common, method: { learningRate: 1 }, output: at("run") });
  await exportModel({ run: at("run"), out: at("merged"), mergeAdapter: true });
  const journal = join(at("run"), "journal.ndjson");
  await replay({ base: model, journal, out: at("replayed"), mergeAdapter: true });
  const files = readdirSync(at("merged")).sort();
  const tokenizer = ["tokenizer.json", "tokenizer_config.json"];
  t.same(files, ["config.json", "model.safetensors", ...tokenizer]);
  for (const file of files) {
    t.same(readFileSync(join(at("merged"), file)), readFileSync(join(at("replayed"), file)));
  }
  const rows = { data: reviews, numEval: 20 };
  const { loss } = await evaluate({ run: at("run"), ...rows });
  const merged = await evaluate({ model: at("merged"), task: "sst2", ...rows });
  const base = await evaluate({ model, task: "sst2", ...rows });
  t.ok(Math.abs(merged.loss - loss) < 1e-5, "the same model");
  t.ok(Math.abs(base.loss - loss) > 1e-3, "and not the base");
});

t.test("modules that are not there are refused with some that are", async (t) => {
  const output = join(t.testdir(), "run");
  const message = /lora\.targetModules: "w_proj" matches nothing.*self_attn\.q_proj/;
  const lora = { targetModules: ["q_proj", "w_proj"] };
  await t.rejects(train({ ...common, lora, output }), { code, message });
});

t.test("a plan of adapters writes nothing of the model back", async (t) => {
  const of = { model: "opt-125m", length: 16, device: "a100-pcie", memory: "200MB" } as const;
  const made = await plan({ ...of, lora: { targetModules: ["q_proj", "v_proj"] } });
  t.equal(made.predicted?.laneBytes.offload, 0);
  t.ok((made.predicted?.laneBytes.upload ?? 0) > 0);
});
