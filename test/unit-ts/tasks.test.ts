// Tasks: completions, and tasks of one's own, from a row to what is predicted, and in a run's life.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import {
  defineTask,
  resolveTrainConfig,
  type Task,
  type TaskReference,
  type TrainConfig,
} from "zo2";
import { loadTask } from "../../dist/cli/task-module.js";
import { describeProblems } from "../../dist/data/report.js";
import { evaluateWith } from "../../dist/evaluate.js";
import type { TaskSettings } from "../../dist/tasks/task.js";
import { TrainingRun } from "../../dist/training-run.js";
import { charEncoder, codes, labels, load, makeTask, sequences } from "../support/char-encoder.js";
import { fakeRuntime } from "../support/fake-engine.js";

const config = "ZO2_INVALID_CONFIG";
const completion: Partial<TaskSettings> = { task: "completion" };

t.test("completions are predicted, with the end of text after them", async (t) => {
  const rows = [
    { prompt: "Q: a ", completion: "yes" },
    { prompt: "", completion: "x" },
    { prompt: 1, completion: true },
  ];
  const noSuffix = charEncoder({ suffix: [] });
  const loaded = await load(rows, completion, 40, noSuffix);
  t.same(sequences(loaded), [codes("<Q: a yes>"), codes("<x>"), codes("<1true>")]);
  t.same(labels(loaded), ["______yes>", "_x>", "__true>"]);
  t.equal(loaded.rows.labelMask, undefined, "labels without gaps need no mask");
  t.same(labels(await load(rows, completion)), labels(loaded), "one end, whoever puts it there");
  t.same(labels(await load([{ prompt: "q", completion: "a>" }], completion, 9, noSuffix)), [
    "__a>",
  ]);
  const noEnd = charEncoder({ suffix: [], eos: undefined });
  t.same(labels(await load([{ prompt: "q", completion: "a" }], completion, 9, noEnd)), ["__a"]);
  const both = { ...completion, completionOnlyLoss: false };
  t.same(labels(await load(rows, both)), ["_Q: a yes>", "_x>", "_1true>"]);
  const named = { ...completion, promptField: "in", completionField: "out" };
  t.same(labels(await load([{ in: "q", out: "a" }], named)), ["__a>"]);
});

t.test("completions are cut at the end, and reported", async (t) => {
  const rows = [
    { prompt: "abc", completion: "defgh" },
    { prompt: "a long prompt", completion: "x" },
    { prompt: "abc" },
    { prompt: ["abc"], completion: "x" },
  ];
  const loaded = await load(rows, completion, 6);
  t.same(labels(loaded), ["___def"]);
  t.equal(loaded.report.truncated, 1);
  t.equal(
    describeProblems(loaded.report),
    "rows:2: has no token to predict within the longest length, 6; " +
      'rows:3: field "completion" is missing; rows:4: field "prompt" is ["abc"], not text',
  );
  const bare = charEncoder({ prefix: [] });
  await t.rejects(load([{ prompt: "", completion: "x" }], completion, 9, bare), {
    message: /nothing before its completion/,
  });
  const melts = await load([{ prompt: "xa", completion: "by" }], completion);
  t.same(sequences(melts), [codes("<xaby>")], "what melts into its prompt is encoded on its own");
  t.equal(melts.report.encodedApart, 1);
});

const boolq = defineTask({
  name: "boolq",
  version: 2,
  kind: "options",
  fields: { passage: "text", answer: "boolean", weight: "number?", hint: "text?" },
  example({ passage, answer, weight, hint }) {
    // What the fields are is known to the compiler.
    const typed: [string, boolean, number | undefined, string | undefined] = [
      passage,
      answer,
      weight,
      hint,
    ];
    if (passage === "") throw new Error("an empty passage");
    return { prompt: `${typed[0]}?`, options: [" No", " Yes"], label: answer ? 1 : 0 };
  },
});

t.test("a task of one's own", async (t) => {
  t.match(boolq, { name: "boolq", version: "2", kind: "options" });
  t.equal(JSON.stringify(boolq), '{"name":"boolq","version":"2"}');
  const rows = [
    { passage: "a", answer: true },
    { passage: "b", answer: "False", weight: "0.5" },
    { passage: "", answer: 1 },
    { passage: "c", answer: "maybe" },
    { passage: "c", answer: 1, weight: "much" },
    { answer: 1 },
  ];
  const loaded = await load(rows, { task: boolq });
  t.same(Array.from(loaded.rows.gold), [1, 0]);
  t.same(labels(loaded), ["___ No", "___ Yes", "___ No", "___ Yes"]);
  t.same(loaded.source, rows.slice(0, 2), "rows themselves are kept as they are");
  t.equal(
    describeProblems(loaded.report),
    'rows:3: task "boolq": an empty passage; rows:4: field "answer" is "maybe", not a boolean; ' +
      'rows:5: field "weight" is "much", not a number; rows:6: field "passage" is missing',
  );
});

t.test("texts or token ids", async (t) => {
  const task = (example: () => object, kind = "lm"): Task =>
    defineTask({ name: "ids", kind: kind as "lm", fields: {}, example: example as never });
  const made = async (example: object, kind?: string) =>
    labels(await load([{}], { task: task(() => example, kind) }, 40));
  t.same(await made({ text: [5, 97, 98] }), ["_ab"]);
  t.same(await made({ prompt: [5], completion: [97, 98] }), ["_ab"], "no end after ids");
  t.same(await made({ prompt: [5], completion: "x" }), ["_x>"]);
  t.same(await made({ prompt: "q", completion: [97] }), ["__a"]);
  t.same(await made({ prompt: [5, 6], options: [[97], " b"], label: 0 }, "options"), [
    "__a",
    "__ b",
  ]);
  const spaced = charEncoder({ prefixesSpace: true });
  const options = task(() => ({ prompt: [5], options: [" x", " y"], label: 0 }), "options");
  t.same(labels(await load([{}], { task: options }, 9, spaced)), ["_x", "_y"]);
  const bad = async (example: object | undefined, message: RegExp, kind?: string) =>
    t.rejects(load([{}], { task: task(() => example as object, kind) }), { message });
  await bad(undefined, /made undefined, which has no text/);
  await bad({ prompt: "x" }, /made {"prompt":"x"}, which has no text/);
  await bad(Promise.resolve(), /which has no text/);
  await bad({ messages: [] }, /messages that are not a list/);
  await bad({ text: [5, -1] }, /token 1 is -1, not an integer/);
  await bad({ prompt: "x", options: ["y"], label: 0 }, /at least two texts/, "options");
  await bad({ prompt: "x", options: ["y", "z"], label: 2 }, /label that is 2/, "options");
  await bad({ prompt: 3, options: ["y", "z"], label: 0 }, /prompt that is 3/, "options");
});

t.test("definitions are checked", async (t) => {
  const good = { name: "x", kind: "lm", fields: {}, example: () => ({ text: "x" }) };
  const rejects = (change: object, message: RegExp): void => {
    const definition = { ...good, ...change } as unknown as Parameters<typeof defineTask>[0];
    t.throws(() => defineTask(definition), { code: config, message });
  };
  rejects({ name: "" }, /name is ""/);
  rejects({ version: null }, /version is null/);
  rejects({ kind: "classification" }, /kind is "classification".*"lm", "options"/);
  rejects({ fields: null }, /has no fields/);
  rejects({ fields: { a: "string" } }, /field "a" is of type "string".*"text"/);
  rejects({ example: 3 }, /example must be a function/);
});

t.test("the command line takes a module", async (t) => {
  const dir = t.testdir({
    "plain.mjs":
      'export default { name: "mine", kind: "lm", fields: { a: "text" }, ' +
      "example: ({ a }) => ({ text: a }) };",
    "broken.mjs": "export default {",
    "none.mjs": "export const task = 1;",
  });
  t.equal(await loadTask("sst2"), "sst2");
  const task = (await loadTask(join(dir, "plain.mjs"))) as Task;
  t.same(task.example({ a: 1 }), { text: "1" });
  const rejects = (name: string, message: RegExp) =>
    t.rejects(loadTask(join(dir, name)), { code: config, message });
  await rejects("broken.mjs", /broken.mjs cannot be loaded/);
  await rejects("none.mjs", /no default export/);
  await rejects("absent.mjs", /absent.mjs cannot be loaded/);
});

t.test("settings of other tasks are refused", async (t) => {
  const refused = (settings: Partial<TaskSettings>, message: RegExp): void => {
    t.throws(() => makeTask(settings), { code: config, message });
  };
  refused({ task: "completion", template: "x" }, /"completion" has none; use task "options"/);
  refused({ task: boolq, chatTemplate: "x" }, /"boolq" has none; use task "chat"/);
  refused({ task: "sst2", options: ["a", "b"] }, /"sst2" has none/);
  refused({ task: { name: "gone", version: "1" } }, /{"name":"gone".*what defineTask\(\) makes/);
  refused({ task: "chat", chatTemplate: "no/such.jinja" }, /data.chatTemplate: cannot read no/);
});

t.test("a run remembers its task", async (t) => {
  const dir = t.testdir({ model: { "config.json": "{}" } });
  writeFileSync(join(dir, "train.csv"), 'passage,answer\n"a bad",1\nad,0\n');
  const train = join(dir, "train.csv");
  const given = (task: string | TaskReference): TrainConfig => ({
    model: join(dir, "model"),
    data: { train, task },
    steps: 2,
    output: join(dir, "run"),
  });
  const start = (task: string | TaskReference, steps: number): TrainingRun => {
    const runtime = fakeRuntime();
    return new TrainingRun({ ...given(task), steps }, {}, runtime);
  };
  const ids = defineTask({
    name: "ids",
    kind: "options",
    fields: { answer: "boolean" },
    example: ({ answer }) => ({ prompt: [1, 2], options: [[3], [4]], label: Number(answer) }),
  });
  const first = start(ids, 2);
  t.match(await first.result, { step: 2 });
  t.match(await first.evaluate([{ answer: "1" }]), { rows: [{ label: 1 }] });
  await first.close();
  const saved = JSON.parse(readFileSync(join(dir, "run", "config.json"), "utf8")) as object;
  t.match(saved, { data: { task: { name: "ids", version: "1" } } });
  const second = start(ids, 3);
  t.match(await second.result, { resumedFrom: 2, step: 3 });
  await second.close();
  const changed = defineTask({ ...ids, version: 2, example: ids.example as never });
  const third = start(changed, 4);
  await t.rejects(third.result, {
    code: "ZO2_JOURNAL_MISMATCH",
    message: /data.task: saved {"name":"ids","version":"1"}, given {"name":"ids","version":"2"}/,
  });
  await third.close();
  const run = join(dir, "run");
  const evaluate = (task?: TaskReference) =>
    evaluateWith(fakeRuntime(), { run, data: [{ answer: true }], ...(task && { task }) }, {});
  t.match(await evaluate(ids), { rows: [{ label: 1 }] });
  await t.rejects(evaluate(), { code: config, message: /"ids".*--task/ });
  const resolved = resolveTrainConfig(given(ids));
  t.equal((resolved.data.task as Task).example, ids.example);
});
