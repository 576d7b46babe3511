// From files to packed rows: JSONL, templates, tasks, truncation, reports.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { describeProblems } from "../../dist/data/report.js";
import { parseTemplate } from "../../dist/tasks/template.js";
import type { TaskSettings } from "../../dist/tasks/task.js";
import { codes, load, makeTask, sequences } from "../support/char-encoder.js";

const options: Partial<TaskSettings> = {
  task: "options",
  template: "{s}:",
  options: ["no", "yes"],
};

t.test("JSONL with everything that files have", async (t) => {
  const file = join(t.testdir(), "rows.jsonl");
  const lines = [
    '\uFEFF{"text":"one"}\r',
    "",
    '{"text":"two\u2028lines"}',
    '{"text":',
    "[1,2]",
    '{"txt":"x"}',
    '{"input_ids":[5,6,7]}',
    '{"input_ids":[5,200000]}',
    '{"input_ids":[5,1.5]}',
    '{"input_ids":[5]}',
    '{"text":7}',
  ];
  const tail = Buffer.concat([Buffer.from('{"text":"'), Buffer.from([0xff]), Buffer.from('"}\n')]);
  const last = Buffer.from('{"text":"no newline"}');
  writeFileSync(file, Buffer.concat([Buffer.from(`${lines.join("\n")}\n`), tail, last]));
  const loaded = await load(file);
  t.same(loaded.lines, [1, 3, 7, 13]);
  t.same(sequences(loaded), [
    [1, ...codes("one"), 2],
    [1, ...codes("two\u2028lines"), 2],
    [5, 6, 7],
    [1, ...codes("no newline"), 2],
  ]);
  t.equal(loaded.report.unusable, 8);
  t.same(
    loaded.report.problems.map(({ line }) => line),
    [4, 5, 6, 8, 9],
  );
  const text = describeProblems(loaded.report);
  t.match(text, `${file}:4: is not JSON`);
  t.match(text, `${file}:5: is not a JSON object`);
  t.match(text, `${file}:6: neither "text" nor "input_ids" is there`);
  t.match(text, `${file}:8: token 1 is 200000, not an integer from 0 to 199999`);
  t.match(text, /token 1 is 1.5.*; and 3 more$/);
});

t.test("nothing to use is an error", async (t) => {
  const code = "ZO2_INVALID_DATA";
  const file = join(t.testdir({ "empty.jsonl": "\n\n" }), "empty.jsonl");
  await t.rejects(load(file), { code, message: /empty.jsonl has no rows/ });
  await t.rejects(load([{ a: 1 }]), { code, message: /rows:1: neither/ });
  await t.rejects(load(join(t.testdir(), "none.jsonl")), {
    code: "ZO2_IO",
    message: /no such file/,
  });
  const folder = join(t.testdir({ "folder.jsonl": {} }), "folder.jsonl");
  await t.rejects(load(folder), { code: "ZO2_IO" });
});

t.test("language modelling rows are cut at the end", async (t) => {
  const loaded = await load([{ text: "abcdefgh" }, { input_ids: [9, 8, 7, 6, 5] }], {}, 4);
  t.same(sequences(loaded), [
    [1, 3, 99, 100],
    [9, 8, 7, 6],
  ]);
  t.equal(loaded.report.truncated, 2);
  t.same(Array.from(loaded.rows.labelStart), [1, 1]);
  t.same(Array.from(loaded.rows.gold), [-1, -1]);
});

t.test("option rows", async (t) => {
  const loaded = await load([{ s: "hi", label: 1 }], options);
  t.same(sequences(loaded), [
    [1, ...codes("hi:no")],
    [1, ...codes("hi:yes")],
  ]);
  t.same(Array.from(loaded.rows.labelStart), [4, 4]);
  t.same(Array.from(loaded.rows.rowOffsets), [0, 2]);
  t.same(Array.from(loaded.rows.gold), [1]);
  t.same(loaded.source, [{ s: "hi", label: 1 }]);
});

t.test("a prompt loses its beginning, never its options or first token", async (t) => {
  const loaded = await load([{ s: "long prompt", label: 0 }], options, 7);
  t.same(sequences(loaded), [
    [1, ...codes("pt:no")],
    [1, ...codes("pt:yes")],
  ]);
  t.equal(loaded.report.truncated, 1);
  await t.rejects(load([{ s: "x", label: 0 }], options, 3), { message: /an option has 3 tokens/ });
});

t.test("an option that melts into its prompt is encoded on its own", async (t) => {
  const settings = { ...options, template: "{s}a", options: ["bx", "no"] };
  const loaded = await load([{ s: "q", label: 0 }], settings);
  t.same(sequences(loaded), [
    [1, ...codes("qabx")],
    [1, ...codes("qano")],
  ]);
  t.equal(loaded.report.encodedApart, 1);
});

t.test("labels", async (t) => {
  const row = (label: unknown): Record<string, unknown> => ({ s: "x", label });
  const rows = [0, 1, true, 2, "one", null, undefined, 0.5, "1"].map(row);
  const byIndex = await load(rows, options);
  t.same(Array.from(byIndex.rows.gold), [0, 1, 1, 1], "a cell of a CSV file is text");
  t.match(describeProblems(byIndex.report), /:5: .*"one", not an index.*name its values/);
  t.match(describeProblems(byIndex.report), /:7: field "label" is missing/);
  const labels = { ...options, labels: ["neg", 7] };
  const byValue = await load(["neg", 7, "7", "pos", 0].map(row), labels);
  t.same(Array.from(byValue.rows.gold), [0, 1, 1]);
  t.match(describeProblems(byValue.report), /"pos", not one of \["neg","7"\]/);
});

t.test("sst2 has MeZO's prompt", async (t) => {
  const task = makeTask({ task: "sst2" });
  t.same(task.example({ sentence: "good ", label: 1 }), {
    prompt: "good It was",
    options: [" terrible", " great"],
    label: 1,
    domainPrompt: "It was",
  });
  t.throws(() => task.example({ label: 1 }), /field "sentence" is missing/);
});

t.test("templates", async (t) => {
  const template = parseTemplate("{{{a}}} { b }");
  t.same(template.fields, ["a", "b"]);
  t.equal(template.render({ a: 1, b: "{x}" }), "{1} {x}");
  t.throws(() => template.render({ a: 1 }), /field "b" is missing/);
  t.throws(() => template.render({ a: {}, b: 1 }), /field "a" is \{\}, not text/);
  for (const bad of ["{", "}", "{}", "{a", "a}", "{a{b}}"]) {
    t.throws(() => parseTemplate(bad), /brace/, bad);
  }
});

t.test("many rows", async (t) => {
  const rows = Array.from({ length: 3000 }, (_, i) => ({ text: `row number ${i}` }));
  const loaded = await load(rows);
  t.equal(loaded.rows.rowOffsets.length, 3001);
  t.same(sequences(loaded)[2999], [1, ...codes("row number 2999"), 2]);
});
