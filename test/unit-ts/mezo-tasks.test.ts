// MeZO's eleven tasks: prompts as texts and as tokens, right answers, and rows that cannot be used.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { readRows } from "../../dist/data/formats.js";
import { loadData } from "../../dist/data/load.js";
import { describeProblems } from "../../dist/data/report.js";
import {
  type GenerationExample,
  type OptionsExample,
  rightOptions,
  type Task,
} from "../../dist/tasks/task.js";
import { demonstrationOf, withContext } from "../../dist/data/demonstrations.js";
import { trainingTask } from "../../dist/tasks/training.js";
import { loadTokenizer } from "../../dist/tokenizer/tokenizer.js";
import { charEncoder, load, makeTask, sequences } from "../support/char-encoder.js";

const fixtures = join("test", "fixtures", "tasks");

/** A row of a task, and what MeZO makes of it (test/fixtures/task_tokens.py). */
interface Fixture {
  task: string;
  row: Record<string, unknown>;
  prompt: string;
  /** The prompt and each option, or the completion. */
  texts: string[];
  /** Right options. */
  right?: number[];
  /** Prompt and options for calibration. */
  domain?: { prompt: string; texts: string[] };
  /** Right answers. */
  answers?: string[];
}
/** Ids of a text, and how many at its end are to be predicted. */
interface Tokens {
  ids: number[];
  predicted: number;
}
type TokenFixture = Record<"plain" | "inContext" | "domain" | "domainInContext", Tokens[]>;

const parse = (name: string): unknown => JSON.parse(readFileSync(join(fixtures, name), "utf8"));
const fixtureRows = parse("rows.json") as Fixture[];
const fixtureTokens = parse("tokens.json") as TokenFixture[];
const names = [...new Set(fixtureRows.map(({ task }) => task))];

t.test("every task has rows here", (t) => {
  const eleven = ["sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "copa", "record"];
  t.same(names, [...eleven, "squad", "drop"]);
  t.end();
});

t.test("prompts are MeZO's, to the character", (t) => {
  for (const { task: name, row, prompt, texts, right, domain, answers } of fixtureRows) {
    const task = makeTask({ task: name });
    const example = task.example(row);
    if ("options" in example) {
      const { options, domainPrompt } = example as OptionsExample & { options: string[] };
      t.equal(example.prompt, prompt, name);
      t.same(
        options.map((option) => `${prompt}${option}`),
        texts,
      );
      t.same(rightOptions(example), right);
      t.equal(domainPrompt, domain?.prompt);
      t.same(
        options.map((option) => `${domain?.prompt}${option}`),
        domain?.texts,
      );
    } else {
      const own = example as GenerationExample;
      t.equal(own.prompt, prompt, name);
      t.same([`${prompt}${own.completion as string}`], texts);
      t.same(own.answers, answers);
      t.same(task.answer, { maxNewTokens: 50, stop: "\n" });
    }
    const isPredicted = ["copa", "record"].includes(name);
    t.equal(task.trainAsClassification, !isPredicted);
  }
  t.end();
});

t.test("prompts are MeZO's, token for token", async (t) => {
  const tokenizer = await loadTokenizer("models/reviews-tiny", () => ({}));
  const limits = { maxLength: 512, vocabSize: 50_000 };
  const encoded = async (task: Task, row: Fixture["row"], context?: string): Promise<Tokens[]> => {
    const encoder = async () => tokenizer;
    const change = (example: ReturnType<Task["example"]>) =>
      context === undefined ? example : withContext(example, context);
    const loaded = await loadData({ source: [row], task, encoder, limits, change });
    return sequences(loaded).map((ids, i) => {
      return { ids, predicted: ids.length - (loaded.rows.labelStart[i] ?? 0) };
    });
  };
  for (const [index, { task: name, row, right = [0] }] of fixtureRows.entries()) {
    const task = makeTask({ task: name });
    const expected = fixtureTokens[index] as TokenFixture;
    const context = fixtureRows
      .filter((other) => other.task === name && other.row !== row)
      .map((other) => `${demonstrationOf(task.example(other.row))}\n\n`)
      .join("");
    t.same(await encoded(task, row), expected.plain, name);
    t.same(await encoded(task, row, context), expected.inContext, `${name} in context`);
    const trained = await encoded(trainingTask(task, false), row);
    t.same(trained, [expected.plain[right[0] ?? 0]], `${name} as it is predicted`);
    if (task.kind !== "options") continue;
    const { domainPrompt = "", options } = task.example(row) as OptionsExample;
    const domain = { ...task, example: () => ({ prompt: domainPrompt, options, label: 0 }) };
    t.same(await encoded(domain, row, context), expected.domainInContext, `${name} calibrated`);
    // This tokenizer puts nothing before a text, so that a bare option has nothing to be scored by.
    if (domainPrompt === "") await t.rejects(encoded(domain, row), { message: /nothing before/ });
    else t.same(await encoded(domain, row), expected.domain);
  }
});

t.test("Parquet gives the same rows as JSON", async (t) => {
  for (const name of ["squad", "drop", "record"]) {
    const task = makeTask({ task: name });
    const made: unknown[] = [];
    for await (const placed of readRows(join(fixtures, `${name}.parquet`))) {
      if ("row" in placed) made.push(task.example(placed.row));
    }
    const own = fixtureRows.filter((row) => row.task === name);
    t.same(
      made,
      own.map(({ row }) => task.example(row)),
      name,
    );
  }
});

t.test("rows that cannot be used name file, line and field", async (t) => {
  const wrong: [task: string, change: object, reason: string][] = [
    ["sst2", { sentence: undefined }, 'field "sentence" is missing'],
    ["rte", { label: -1 }, 'field "label" is -1, not an index from 0 to 1'],
    ["cb", { label: 3 }, 'field "label" is 3, not an index from 0 to 2'],
    ["boolq", { label: undefined }, 'neither "label" nor "answer" is there'],
    ["boolq", { label: -1 }, 'field "label" is -1, not a boolean'],
    ["boolq", { question: ["x"] }, 'field "question" is ["x"], not text'],
    ["wsc", { span2_text: null }, 'field "span2_text" is missing'],
    ["wic", { word: undefined }, 'field "word" is missing'],
    ["multirc", { answer: {} }, 'field "answer" is {}, not text'],
    ["copa", { question: "why" }, 'field "question" is "why", not "cause" or "effect"'],
    ["copa", { label: -1 }, 'field "label" is -1, not an index from 0 to 1'],
    ["record", { answers: [] }, 'field "answers" is empty'],
    [
      "record",
      { answers: ["Rome"] },
      'field "answers" holds "Rome", which is none of its entities',
    ],
    ["record", { entities: "Oslo" }, 'field "entities" is "Oslo", not a list'],
    ["record", { entities: ["Oslo", 3] }, 'field "entities" is ["Oslo",3], not a list of texts'],
    ["squad", { answers: null }, 'field "answers" is missing'],
    ["squad", { answers: "12 km" }, 'field "answers.text" is missing'],
    ["squad", { answers: { text: [] } }, 'field "answers.text" is empty'],
    ["drop", { answers_spans: { spans: "5" } }, 'field "answers_spans.spans" is "5", not a list'],
  ];
  const file = join(t.testdir(), "rows.jsonl");
  for (const [name, change, reason] of wrong) {
    const good = fixtureRows.find(({ task }) => task === name)?.row;
    writeFileSync(
      file,
      [good, { ...good, ...change }].map((row) => JSON.stringify(row)).join("\n"),
    );
    const { report } = await load(file, { task: name }, 1000);
    t.equal(report.rows, 1, name);
    t.match(describeProblems(report), `${file}:2: ${reason}`);
  }
});

t.test("labels as other files have them", (t) => {
  const row = { premise: "a", hypothesis: "b", gold: "not_entailment" };
  const labels = ["entailment", "not_entailment"];
  const task = makeTask({ task: "rte", labels, labelField: "gold" });
  t.match(task.example(row), { label: 1 });
  t.throws(() => task.example({ ...row, gold: "maybe" }), { message: /"maybe", not one of/ });
  t.throws(() => makeTask({ task: "copa", labels }), { message: /task "copa" has none; use task/ });
  const boolq = makeTask({ task: "boolq", labelField: "y" });
  t.match(boolq.example({ passage: "p", question: "q", y: "true" }), { label: 0 });
  t.end();
});

t.test("the beginning of a long prompt is cut, an answer never", async (t) => {
  const { row, texts } = fixtureRows.find(({ task }) => task === "squad") as Fixture;
  const whole = `<${texts[0]}`;
  const loaded = await load([row], { task: "squad" }, 20);
  const [ids = []] = sequences(loaded);
  t.equal(String.fromCodePoint(...ids.slice(1)), whole.slice(-19), "nothing follows its newline");
  t.equal(ids[0], 1, "the beginning of text stays");
  t.equal(loaded.rows.labelStart[0], 20 - " 12 km\n".length);
  t.match(loaded.report, { truncated: 1, rows: 1 });
  await t.rejects(load([row], { task: "squad" }, 7), {
    message: /a completion has 7 tokens, more than fit/,
  });
});

t.test("demonstrations are the first to go", async (t) => {
  const { row } = fixtureRows.find(({ task }) => task === "copa") as Fixture;
  const task = makeTask({ task: "copa" });
  const encoder = async () => charEncoder();
  const limits = { maxLength: 48, vocabSize: 200_000 };
  const change = (example: ReturnType<Task["example"]>) => withContext(example, "shown\n\n");
  const loaded = await loadData({ source: [row], task, encoder, limits, change });
  const texts = sequences(loaded).map((ids) => String.fromCodePoint(...ids.slice(1)));
  const asked = "The lake froze because";
  // The longer of the options leaves 28 tokens before both, the first of them the beginning of text.
  t.same(texts, [`own\n\n${asked} the night was cold.`, `own\n\n${asked} the fish swam.`]);
  t.equal(loaded.report.truncated, 1);
  t.same(Array.from(loaded.rows.labelStart), [28, 28]);
});

t.test("what a task is trained on can be chosen", (t) => {
  const copa = makeTask({ task: "copa" });
  t.equal(trainingTask(copa).kind, "generation");
  t.equal(trainingTask(copa, true), copa);
  const rte = makeTask({ task: "rte" });
  t.equal(trainingTask(rte), rte);
  t.equal(trainingTask(rte, false).kind, "generation");
  const drop = makeTask({ task: "drop" });
  t.equal(trainingTask(drop, false), drop);
  t.end();
});
