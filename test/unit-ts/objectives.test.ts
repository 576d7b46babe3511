// Objectives over generated texts, and those that a configuration names.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { generate, type Objective, type ScheduleConfig, train, type WrittenRow } from "zo2";
import { namedObjective } from "../../dist/named-objective.js";

const root = join(import.meta.dirname, "../..");
const model = join(root, "models/reviews-tiny");
const rows = ["a gripping and", "it was a bad", "the plot is", "one of the best films of the"].map(
  (prompt) => ({ prompt, completion: " story" }),
);

/** Seldom said by this model, but not never: the number of "e"s. */
const letters = (text: string): number => text.split("e").length - 1;

function setting(t: Test, name: string, schedule: ScheduleConfig = {}) {
  const data = { train: t.testdir({ "rows.json": JSON.stringify(rows) }), task: "completion" };
  return {
    model,
    data: { ...data, train: join(data.train, "rows.json") },
    method: { learningRate: 1e-3, epsilon: 3e-2 },
    batchSize: 2,
    output: join(data.train, name),
    schedule,
  };
}

function record(seen: WrittenRow[][]): Objective {
  return {
    needs: "text",
    maxNewTokens: 6,
    maximize: true,
    score(rows) {
      seen.push(rows.map((row) => ({ ...row })));
      return rows.map(({ text }) => letters(text));
    },
  };
}

t.test("texts are what generate() writes", async (t) => {
  const seen: WrittenRow[][] = [];
  const config = setting(t, "run");
  // Too small to move a weight: every copy is the model itself.
  const method = { ...config.method, epsilon: 1e-30, directions: 2 };
  await train({ ...config, method, steps: 2 }, { objective: record(seen) });
  t.equal(seen.length, 2 * 2 * 2, "once for each copy");
  const prompts = rows.map(({ prompt }) => prompt);
  const expected = await generate({ model, prompts, maxNewTokens: 6 });
  for (const row of seen.flat()) {
    t.equal(row.text, expected[row.index]?.text);
    t.same(row.row, rows[row.index]);
  }
});

t.test(
  "a score whose square is infinite is a skipped step, not a journal nobody can read",
  async (t) => {
    let calls = 0;
    const objective: Objective = {
      needs: "logprobs",
      score: (rows) => {
        calls += 1;
        return rows.map(() => (calls % 2 === 1 ? 1e300 : 0));
      },
    };
    const config = {
      ...setting(t, "huge"),
      method: { name: "meazo", learningRate: 1e-3 } as const,
    };
    const skipped: boolean[] = [];
    const onStep = (step: { skipped: boolean }) => skipped.push(step.skipped);
    for (const steps of [2, 3]) await train({ ...config, steps }, { objective, onStep });
    t.same(skipped, [true, true, true]);
  },
);

t.test("the same wherever weights are, and for runs that go on", async (t) => {
  const run = async (name: string, schedule: ScheduleConfig, cuts: number[]) => {
    const seen: WrittenRow[][] = [];
    const config = setting(t, name, schedule);
    const losses: (number | null)[] = [];
    for (const steps of cuts) {
      const onStep = ({ loss }: { loss: number | null }) => losses.push(loss);
      await train({ ...config, steps }, { objective: record(seen), onStep });
    }
    const [, ...records] = readFileSync(join(config.output, "journal.ndjson"), "utf8").split("\n");
    return { seen, losses, records };
  };
  const whole = await run("whole", { storage: "bf16", roundEvery: 3 }, [5]);
  t.ok(new Set(whole.seen.flat().map(({ text }) => text)).size > 4, "copies differ");
  t.ok(whole.losses.some((loss) => loss !== 0));
  const parts = await run("parts", { storage: "bf16", roundEvery: 3 }, [2, 5]);
  t.strictSame(parts, whole);
  const streamed = { offload: "disk", storage: "bf16", roundEvery: 3, threads: 1 } as const;
  t.strictSame(await run("streamed", streamed, [5]), whole);
});

t.test("measures of a task by name", async (t) => {
  const reviews = join(root, "data/reviews/train.jsonl");
  const common = { model, batchSize: 4, steps: 2 };
  const losses: (number | null)[] = [];
  const onStep = ({ loss }: { loss: number | null }) => losses.push(loss);
  const sst2 = { train: reviews, task: "sst2" };
  const output = join(t.testdir(), "accuracy");
  await train({ ...common, data: sst2, objective: "accuracy", output }, { onStep });
  t.ok(losses.every((loss) => loss !== null && loss <= 0 && (loss * 8) % 1 === 0));

  const squad = { train: join(root, "test/fixtures/tasks/squad.parquet"), task: "squad" };
  const answers = { ...common, data: { ...squad, maxLength: 128 }, batchSize: 1 };
  await train({ ...answers, objective: "f1", output: join(t.testdir(), "f1") }, { onStep });
  t.ok(losses.every((loss) => loss !== null && loss >= -1 && loss <= 0));

  const code = "ZO2_INVALID_CONFIG";
  const wrong = { ...common, data: sst2, output: join(t.testdir(), "wrong") };
  await t.rejects(train({ ...wrong, objective: "f1" }), { code, message: /generation tasks/ });
  const objective = record([]);
  const both = train({ ...wrong, objective: "accuracy" }, { objective });
  await t.rejects(both, { code, message: /a function is given as well/ });
  const unsaid = { ...objective, maxNewTokens: undefined } as Objective;
  await t.rejects(train(wrong, { objective: unsaid }), {
    code,
    message: /maxNewTokens is missing/,
  });
});

t.test("accuracy where a task trains on its right option alone", async (t) => {
  const choices = { choice1: "It was good.", choice2: "It was bad.", question: "cause" };
  const copa = ["I liked it.", "I left early."].map((premise, label) => ({
    premise,
    ...choices,
    label,
  }));
  const dir = t.testdir({ "copa.json": JSON.stringify(copa) });
  const common = { model, steps: 2, batchSize: 2, objective: "accuracy" } as const;
  const data = { train: join(dir, "copa.json"), task: "copa" };
  const losses: (number | null)[] = [];
  const onStep = ({ loss }: { loss: number | null }) => losses.push(loss);
  await train({ ...common, data, output: join(dir, "run") }, { onStep });
  t.equal(losses.length, 2);
  t.ok(
    losses.every((loss) => loss !== null && loss >= -1 && loss <= 0 && (loss * 4) % 1 === 0),
    losses.join(),
  );
  const reviews = join(root, "data/reviews/train.jsonl");
  const wrong = { train: reviews, task: "sst2", trainAsClassification: false };
  await t.rejects(train({ ...common, data: wrong, output: join(dir, "wrong") }), {
    code: "ZO2_INVALID_CONFIG",
    message: /objective is "accuracy".*data\.trainAsClassification is false/,
  });
});

t.test("measures by name, of texts and log-probabilities at hand", (t) => {
  const { signal } = new AbortController();
  const examples = [{ prompt: "", completion: "", answers: ["the black cat", "a cat"] }];
  const texts = (text: string) => [{ row: {}, index: 0, text }];
  const score = (name: "f1" | "exactMatch", text: string) => {
    const objective = namedObjective(name, examples);
    t.ok(objective.maximize);
    return objective.needs === "text" && objective.score(texts(text), signal);
  };
  t.same(score("f1", " Cat. "), [1]);
  t.same(score("f1", "black dog"), [0.5]);
  t.same(score("f1", "dog"), [0]);
  t.same(score("exactMatch", " The cat! "), [1]);
  t.same(score("exactMatch", "black dog"), [0]);

  const options = [{ prompt: "", options: ["a", "b", "c"], label: [1, 2] }];
  const accuracy = namedObjective("accuracy", options);
  const row = (logprobs: number[]) => [{ row: {}, index: 0, logprobs }];
  const right = (logprobs: number[]) =>
    accuracy.needs === "logprobs" && accuracy.score(row(logprobs), signal);
  t.same([right([-3, -2, -1]), right([-1, -2, -3]), right([-2, -2, -2])], [[1], [0], [0]]);
  t.end();
});

t.test("texts within a budget, and a copy that says nothing that can be chosen from", async (t) => {
  const schedule = { memory: "8MB", offload: "disk" } as const;
  const config = setting(t, "run", schedule);
  const seen: WrittenRow[][] = [];
  const small = { ...config, steps: 1, output: `${config.output}-small` };
  const tight = { ...small, schedule: { ...schedule, memory: "1MB" } };
  const code = "ZO2_OUT_OF_MEMORY";
  const message = /and key\/value caches of \d+ tokens is \d+/;
  await t.rejects(train(tight, { objective: record(seen) }), { code, message });
  await train({ ...config, steps: 2 }, { objective: record(seen) });
  t.equal(seen.length, 4);
  const skipped: boolean[] = [];
  const onStep = (step: { skipped: boolean }) => skipped.push(step.skipped);
  const far = { ...config, output: `${config.output}-far`, steps: 2 };
  const method = { ...config.method, epsilon: 1e10 };
  await train({ ...far, method }, { objective: record(seen), onStep });
  t.same(skipped, [true, true], "its logits are not finite");
});
