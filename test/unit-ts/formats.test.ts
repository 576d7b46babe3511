// Rows of every format: what they look like, and how a bad row or file is reported.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { readRows } from "../../dist/data/formats.js";
import type { Placed } from "../../dist/data/placed.js";
import { describeProblems } from "../../dist/data/report.js";
import { codes, labels, load, sequences } from "../support/char-encoder.js";

const code = "ZO2_INVALID_DATA";
const fixtures = join("test", "fixtures", "data");

async function all(source: string | Record<string, unknown>[]): Promise<Placed[]> {
  const rows: Placed[] = [];
  for await (const row of readRows(source)) rows.push(row);
  return rows;
}
/** A file of the test's own folder. */
function file(t: Test, name: string, content: string | Buffer): string {
  const path = join(t.testdir(), name);
  writeFileSync(path, content);
  return path;
}
const bytes = (...parts: (string | number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part as string)));

t.test("the extension chooses", async (t) => {
  const config = "ZO2_INVALID_CONFIG";
  await t.rejects(all("rows.txt"), { code: config, message: /"rows.txt".*\.parquet, .*\.tsv/ });
  await t.rejects(all("rows.jsonl.gz"), { code: config });
  t.same(await all(file(t, "ROWS.CSV", "a\n1\n")), [{ line: 2, row: { a: "1" } }]);
  t.same(await all(file(t, "pipe", '{"a":1}\n')), [{ line: 1, row: { a: 1 } }]);
  t.same(await all([{ a: 1 }]), [{ line: 1, row: { a: 1 } }]);
});

t.test("JSON lists", async (t) => {
  const path = file(t, "rows.json", '\uFEFF \n[{"a":1}, 2, {"a":\n3}]');
  t.same(await all(path), [
    { line: 1, row: { a: 1 } },
    { line: 2, reason: "is not a JSON object" },
    { line: 3, row: { a: 3 } },
  ]);
  t.same(await all(file(t, "lines.json", '{"a":1}\n{"a":2}')), [
    { line: 1, row: { a: 1 } },
    { line: 2, row: { a: 2 } },
  ]);
  await t.rejects(all(file(t, "torn.json", '[{"a":1},')), { code, message: /torn.json is not a/ });
  await t.rejects(all(join(t.testdir(), "none.json")), { code: "ZO2_IO" });
});

t.test("CSV", async (t) => {
  const text = bytes(
    '\uFEFFtext,label\r\n"one, ""two""",1\r\n\r\n"three\nlines\nlong",0\r\nx,1,2\r\n',
    "\u2028 007 ,\r\nbad ",
    [0xff],
    ',1\r\nlast,"1"',
  );
  const path = file(t, "rows.csv", text);
  t.same(await all(path), [
    { line: 2, row: { text: 'one, "two"', label: "1" } },
    { line: 4, row: { text: "three\nlines\nlong", label: "0" } },
    { line: 7, reason: "has 3 cells for 2 columns" },
    { line: 8, row: { text: "\u2028 007 ", label: "" } },
    { line: 9, reason: "is not valid UTF-8" },
    { line: 10, row: { text: "last", label: "1" } },
  ]);
  const settings = { task: "options", template: "{text}", options: ["n", "y"] };
  const loaded = await load(path, settings, 40);
  t.same(Array.from(loaded.rows.gold), [1, 0, 1]);
  const problems = describeProblems(loaded.report);
  t.match(problems, `${path}:7: has 3 cells`);
  t.match(problems, `${path}:8: field "label" is "", not an index from 0 to 1`);
  const many = `text\n${"some text, and more\n".replace(",", ";").repeat(5_000)}`;
  t.equal((await all(file(t, "many.csv", many))).length, 5_000);
  await t.rejects(all(file(t, "open.csv", 'a,b\n1,"x\n2,y\n')), {
    code,
    message: /open.csv: what follows line 1 .*a quote that nothing closes/,
  });
  await t.rejects(all(file(t, "behind.csv", 'a,b\n1,"x"y\n')), {
    code,
    message: /behind.csv: what follows line 1 .*text behind a cell in quotes/,
  });
  const stray = await all(file(t, "stray.csv", 'a,b\n5" disk,1\n')).catch((error: Error) => error);
  t.match(stray, { code, message: /stray.csv: what follows line 1 .*a quote within a cell; put/ });
  t.notMatch(stray, { message: /disk/ }, "what cells hold is not shown");
  await t.rejects(all(file(t, "mac.csv", "a,b\r1,2\r")), {
    code,
    message: /mac.csv:1: has a carriage return without a newline/,
  });
  await t.rejects(all(file(t, "twice.csv", "a,a\n1,2\n")), { code, message: /:1: two.*"a"/ });
  await t.rejects(all(file(t, "latin.csv", bytes([0xe4], "\n1\n"))), {
    code,
    message: /:1: is not/,
  });
  await t.rejects(all(join(t.testdir(), "none.csv")), { code: "ZO2_IO", message: /none.csv/ });
  await t.rejects(load(file(t, "empty.csv", ""), settings), { code, message: /has no rows/ });
});

t.test("lines of CSV, whatever they end with", async (t) => {
  const first = '"one\r\ntwo"';
  t.same(await all(file(t, "cells.csv", `text,label\r\n${first},0\r\nx,9\r\n`)), [
    { line: 2, row: { text: "one\r\ntwo", label: "0" } },
    { line: 4, row: { text: "x", label: "9" } },
  ]);
  const many = `text,label\r\n${`"a\r\nb\r\nc",1\r\n`.repeat(3)}\r\n"d\re\nf",2\r\ng,3\n`;
  const rows = await all(file(t, "many.csv", many));
  t.same(
    rows.map(({ line }) => line),
    [2, 5, 8, 12, 14],
    "as an editor counts: a lone carriage return ends no line",
  );
  t.match(rows.at(-2), { row: { text: "d\re\nf", label: "2" } });
  const cut = await all(file(t, "cut.csv", "a,b\r\n1,2\r"));
  t.same(cut, [{ line: 2, row: { a: "1", b: "2" } }], "it ends within its last line's end");
  await t.rejects(all(file(t, "stray.csv", `a,b\r\n${first},0\r\nx"y,9\r\n`)), {
    code,
    message: /what follows line 3 cannot/,
  });
});

t.test("line endings of the header and of rows differ", async (t) => {
  const expected = [
    { line: 2, row: { a: "1", b: "x" } },
    { line: 3, row: { a: "2", b: "y" } },
  ];
  for (const [head, end] of [
    ["\r\n", "\n"],
    ["\n", "\r\n"],
  ]) {
    t.same(await all(file(t, "rows.csv", `a,b${head}1,x${end}2,y${end}`)), expected);
    t.same(await all(file(t, "rows.tsv", `a\tb${head}1\tx${end}2\ty${end}`)), expected);
  }
});

t.test("TSV has no quotes", async (t) => {
  t.same(await all(file(t, "rows.tsv", 'sentence\tlabel\n"so-called" film , \t0\n"\t1\n')), [
    { line: 2, row: { sentence: '"so-called" film , ', label: "0" } },
    { line: 3, row: { sentence: '"', label: "1" } },
  ]);
});

t.test("Parquet, every codec", async (t) => {
  const expected = [
    ["eins", 0, true, 0.5, "4611686018427387905", "a", [1, 2, 3]],
    ["zwei \u{1F600}", 1, false, 1.25, 5, "b", [4, 5]],
    [null, 1, null, null, 6, "a", []],
    ["vier", null, true, -3, 7, "b", null],
    ["", 2, false, 1e30, 8, "a", [6, 7]],
  ];
  const files = readdirSync(fixtures).sort();
  t.same(files.length, 6);
  for (const name of files) {
    const rows = await all(join(fixtures, name));
    t.same(
      rows.map((placed) => ("row" in placed ? placed.line : 0)),
      [1, 2, 3, 4, 5],
    );
    const values = rows.map((placed) => {
      const row = "row" in placed ? placed.row : {};
      return [row.text, row.label, row.flag, row.score, row.id, row.kind, row.input_ids];
    });
    t.strictSame(values, expected, name);
    const [first] = rows;
    t.match(first, {
      row: {
        day: "2024-07-26T00:00:00.000Z",
        messages: [{ role: "user", content: "hi" }, { content: "ho" }],
      },
    });
    t.doesNotThrow(() => JSON.stringify(rows), "no BigInt is left");
  }
});

t.test("tasks on Parquet rows", async (t) => {
  const path = join(fixtures, "zstd.parquet");
  const byIndex = { task: "options", template: "{text}", options: ["n", "y"] };
  const loaded = await load(path, byIndex, 40);
  t.same(Array.from(loaded.rows.gold), [0, 1]);
  t.match(describeProblems(loaded.report), /:3: field "text" is missing; .*:4: field "label" is m/);
  const flags = { ...byIndex, labelField: "flag", labels: ["false", "true"] };
  t.same(Array.from((await load(path, flags, 40)).rows.gold), [1, 0, 1, 0]);
  t.same(sequences(await load(path)).slice(0, 2), [
    [1, 2, 3],
    [4, 5],
  ]);
  const template = "{% for m in messages %}{{ m.role[0] + m.content + eos_token }}{% endfor %}";
  const chat = file(t, "chat.jinja", `${template}{% if add_generation_prompt %}a{% endif %}`);
  const talk = await load(path, { task: "chat", chatTemplate: chat }, 40);
  t.same(sequences(talk)[0], codes("uhi>aho>"));
  t.same(labels(talk), ["_____ho>", "_____ho>", "_____ho>", "_____ho>"]);
});

t.test("damaged Parquet", async (t) => {
  const whole = readFileSync(join(fixtures, "snappy.parquet"));
  const damaged = async (name: string, content: Buffer): Promise<void> => {
    await t.rejects(all(file(t, name, content)), { code, message: new RegExp(name) });
  };
  await damaged("text.parquet", Buffer.from("not a parquet file at all"));
  await damaged("torn.parquet", whole.subarray(0, whole.length - 9));
  await damaged("empty.parquet", Buffer.alloc(0));
  await damaged("zeroed.parquet", Buffer.concat([Buffer.alloc(600), whole.subarray(600)]));
  await t.rejects(all(join(t.testdir(), "none.parquet")), { code: "ZO2_IO", message: /no such/ });
});
