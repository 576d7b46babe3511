// What is trained and in how many passes, through the public API.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { exportModel, plan, replay, type TrainConfig, train } from "zo2";
import { mergeFlags, trainFlags } from "../../dist/config/flags.js";
import { resolveTrainConfig } from "../../dist/config/resolve.js";

const model = join(import.meta.dirname, "../../models/reviews-tiny");
const reviews = join(import.meta.dirname, "../../data/reviews/train.jsonl");
const common = {
  model,
  data: { train: reviews, task: "sst2" },
  method: { learningRate: 1e-3 },
  steps: 3,
  batchSize: 2,
};
const code = "ZO2_INVALID_CONFIG";

type Changes = Partial<Omit<TrainConfig, "output">>;
async function losses(output: string, changes: Changes, objective = false) {
  const seen: (number | null)[] = [];
  const score = (rows: { logprobs: readonly number[] }[]) =>
    rows.map(({ logprobs }) => (logprobs[0] ?? 0) ** 2);
  await train(
    { ...common, ...changes, output },
    {
      onStep: ({ loss }) => seen.push(loss),
      ...(objective && { objective: { needs: "logprobs" as const, score } }),
    },
  );
  return seen;
}
// Without their checksums, which go on from the header's.
const records = (run: string) =>
  readFileSync(join(run, "journal.ndjson"), "utf8")
    .split("\n")
    .slice(1)
    .map((line) => line.replace(/,"crc".*/, ""));
const parseTrain = (given: Record<string, string>) =>
  resolveTrainConfig(mergeFlags(trainFlags, { ...common, output: "run" }, given) as never);
const weights = (directory: string) => readFileSync(join(directory, "model.safetensors"));

/** Bytes of each tensor of a safetensors file. */
function tensors(directory: string): Map<string, Buffer> {
  const file = weights(directory);
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.subarray(8, start).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return new Map(
    entries.map(
      ([
        name,
        {
          data_offsets: [from, to],
        },
      ]) => [name, file.subarray(start + from, start + to)],
    ),
  );
}

t.test("only what is named moves, and export and replay know it", async (t) => {
  const dir = t.testdir();
  const at = (name: string): string => join(dir, name);
  const trainable = ["v_proj", "norm.weight"];
  const part = await losses(at("run"), { trainable });
  const apart = { trainable, schedule: { ablation: { shareBranches: false } } };
  t.strictSame(await losses(at("apart"), apart), part);
  t.strictSame(records(at("apart")), records(at("run")));
  await exportModel({ run: at("run"), out: at("out") });
  await replay({ base: model, journal: join(at("run"), "journal.ndjson"), out: at("replayed") });
  t.ok(weights(at("out")).equals(weights(at("replayed"))));
  await losses(at("none"), { trainable, method: { learningRate: 0 }, steps: 1 });
  await exportModel({ run: at("none"), out: at("base") });
  const [before, after] = [tensors(at("base")), tensors(at("out"))];
  const moved = [...before.keys()].filter((name) => !after.get(name)?.equals(before.get(name)!));
  t.ok(moved.length > 0);
  t.ok(
    moved.every((name) => /v_proj\.weight$|\.norm\.weight$/.test(name)),
    moved.join(),
  );
  const other = train({ ...common, trainable: "model.norm.weight", output: at("run") });
  await t.rejects(other, { code: "ZO2_JOURNAL_MISMATCH", message: /trainable: saved \["v_proj"/ });
});

t.test("a pattern that means nothing is refused with names that there are", async (t) => {
  const output = join(t.testdir(), "run");
  const refused = (trainable: string | string[], message: RegExp) =>
    t.rejects(train({ ...common, trainable, output }), { code, message });
  await refused("v_proj", /trainable: "v_proj" matches nothing.*model\.embed_tokens\.weight/);
  await refused(["v_proj", "w_proj"], /trainable: "w_proj" matches nothing/);
  await refused("(v", /trainable: "\(v" is not a regular expression/);
  t.throws(() => parseTrain({ trainable: "[]" }), { code, message: /trainable is \[\]/ });
  t.equal(parseTrain({ trainable: ".*v_proj.*" }).trainable, ".*v_proj.*");
  t.strictSame(parseTrain({ trainable: '["v_proj"]' }).trainable, ["v_proj"]);
});

t.test("the head alone", async (t) => {
  const dir = t.testdir();
  const at = (name: string): string => join(dir, name);
  await losses(at("run"), { headTuning: true });
  await exportModel({ run: at("run"), out: at("out") });
  await replay({ base: model, journal: join(at("run"), "journal.ndjson"), out: at("replayed") });
  t.ok(weights(at("out")).equals(weights(at("replayed"))));
  const exported = tensors(at("out"));
  t.notOk(exported.get("lm_head.weight")?.equals(exported.get("model.embed_tokens.weight")!));
  const config = JSON.parse(readFileSync(join(at("out"), "config.json"), "utf8")) as object;
  t.match(config, { tie_word_embeddings: false });
});

t.test("a plan of a partly frozen model", async (t) => {
  const of = { model: "opt-125m", length: 16, device: "a100-pcie", memory: "200MB" } as const;
  const whole = await plan(of);
  const part = await plan({ ...of, trainable: ["final_layer_norm", "layers.11.fc1"] });
  t.ok((part.predicted?.stepMs ?? 1) < (whole.predicted?.stepMs ?? 0));
  const more = await plan({ ...of, gradientAccumulationSteps: 3 });
  t.ok((more.predicted?.stepMs ?? 0) > 1.5 * (whole.predicted?.stepMs ?? 1));
});

t.test("accumulated passes are one pass over all their rows", async (t) => {
  const dir = t.testdir();
  for (const objective of [false, true]) {
    const run = (name: string): string => join(dir, `${name}-${objective}`);
    const whole = await losses(run("whole"), { batchSize: 4 }, objective);
    const parts = { batchSize: 1, gradientAccumulationSteps: 4 };
    t.strictSame(await losses(run("parts"), parts, objective), whole);
    t.strictSame(records(run("parts")), records(run("whole")));
  }
  const fewer = train({ ...common, batchSize: 1, output: join(dir, "parts-false") });
  const message = /gradientAccumulationSteps: saved 4, given 1/;
  await t.rejects(fewer, { code: "ZO2_JOURNAL_MISMATCH", message });
});
