// What evaluations of a run say where the engine's own loss and accuracy are not all: answers that are generated,
// rows with several right options. Needs the addon.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type EvaluationEvent, evaluate, type JsonRow, Trainer, train } from "../../dist/index.js";

const asked = (question: string, answer: string): JsonRow => {
  return { title: "T", context: "C", question, answers: { text: [answer] } };
};
const questions = [asked("A", "x"), asked("B", "y")];
const choices: JsonRow[] = ["He", "She"].map((query) => ({
  passage: "Ann met Bob and Cid.",
  query: `${query} saw @placeholder there.`,
  entities: ["Ann", "Bob", "Cid"],
  answers: ["Bob", "Cid"],
}));

function configOf(t: Test, task: string, rows: JsonRow[], more: object = {}) {
  const folder = t.testdir();
  const path = join(folder, "rows.jsonl");
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  return {
    model: "models/reviews-tiny",
    data: { train: path, eval: path, task },
    method: { learningRate: 1e-4 },
    steps: 4,
    batchSize: 2,
    output: join(folder, "run"),
    ...more,
  };
}
type Config = ReturnType<typeof configOf>;

async function evaluationsOf(config: Config): Promise<EvaluationEvent[]> {
  const found: EvaluationEvent[] = [];
  await train(config, { onEvent: (event) => event.event === "eval" && found.push(event) });
  return found;
}
/** The journal's records, without the times and checksums that each run has of its own. */
function records({ output }: Config): unknown[] {
  const lines = readFileSync(join(output, "journal.ndjson"), "utf8").trim().split("\n").slice(1);
  return lines.map((line) => {
    const { step, seed, coefficients, losses, lossPlus, lossMinus } = JSON.parse(line);
    return { step, seed, coefficients, losses, lossPlus, lossMinus };
  });
}

t.test("answers, before the first step, between steps and behind the last", async (t) => {
  const config = configOf(t, "squad", questions, { evalEvery: 2 });
  const evaluations = await evaluationsOf(config);
  t.same(
    evaluations.map(({ step }) => step),
    [0, 2, 4],
  );
  for (const evaluation of evaluations) {
    t.match(evaluation, { loss: Number, accuracy: null, f1: Number, exactMatch: Number });
  }
  const { loss, f1, exactMatch } = await evaluate({ run: config.output });
  t.match(evaluations.at(-1), { loss, f1, exactMatch });
  const plain = { ...config, evalEvery: 0, output: `${config.output}-plain` };
  await train(plain);
  t.same(records(config), records(plain), "steps are those of a run without evaluations");
  const streamed = { offload: "disk", roundEvery: 1, extentBytes: 1 };
  for (const schedule of [{ checkpointEvery: 0 }, streamed]) {
    const other = { ...config, schedule, output: `${config.output}-${Object.keys(schedule)[0]}` };
    const again = await evaluationsOf(other);
    t.same(
      again.map(({ step, loss }) => [step, loss]),
      evaluations.map(({ step, loss }) => [step, loss]),
      "nor does it matter what stretches begin from",
    );
    t.same(records(other), records(plain));
  }
});

t.test("rows with several right options", async (t) => {
  const config = configOf(t, "record", choices, { evalEvery: 1, steps: 2 });
  const evaluations = await evaluationsOf(config);
  t.equal(evaluations.length, 3);
  const { accuracy, f1, exactMatch } = await evaluate({ run: config.output });
  t.match(evaluations.at(-1), { step: 2, accuracy, f1, exactMatch });
  for (const { accuracy } of evaluations) t.ok([0, 0.5, 1].includes(accuracy ?? -1));
});

t.test("a learning rate that looks at the length of the run", async (t) => {
  const method = { learningRate: 1e-4, lrSchedulerType: "linear" };
  const evaluations = await evaluationsOf(
    configOf(t, "squad", questions, { evalEvery: 2, method }),
  );
  t.match(evaluations, [
    { step: 0, f1: Number },
    { step: 2, loss: Number, f1: null },
    { step: 4, f1: Number },
  ]);
  t.equal(evaluations.length, 3);
});

t.test("stopped at an evaluation, the same configuration goes on", async (t) => {
  const config = configOf(t, "squad", questions, { evalEvery: 2 });
  const trainer = new Trainer(config, {
    onEvent: (event) => {
      if (event.event === "eval" && event.step === 2) void trainer.stop();
    },
  });
  t.match(await trainer.result, { step: 2, stopped: true });
  await trainer.close();
  const resumed = await train(config);
  t.match(resumed, { step: 4, resumedFrom: 2, stopped: false, evaluation: { f1: Number } });
  const room = { ...config.data, maxLength: 50 };
  const tight = { ...config, data: room, output: `${config.output}-tight` };
  await t.rejects(train(tight), { code: "ZO2_INVALID_CONFIG", message: /no room for a prompt/ });
});
