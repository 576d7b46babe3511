// Tasks in evaluations and runs: calibration, in-context learning, generated answers, several right
// options; and on the real engine, that training and evaluation may see rows differently.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { defineTask, evaluate, type JsonRow, type TrainEvent, Trainer } from "zo2";
import { evaluateWith } from "../../dist/evaluate.js";
import { TrainingRun } from "../../dist/training-run.js";
import { type FakeSettings, fakeRuntime } from "../support/fake-engine.js";
import { byteLevelMetadata } from "../support/tiny-vocabulary.js";

const code = "ZO2_INVALID_CONFIG";
const bytes = (text: string): number[] => Array.from(Buffer.from(text));

/** A tokenizer of bytes; the engine says that sequence s of a call has a mean log-probability of -s. */
function place(t: Test, settings: FakeSettings = {}) {
  const info = { format: "gguf" as const, maxPositions: 400 };
  const runtime = fakeRuntime({ info, ...settings });
  Object.assign(runtime.metadata, byteLevelMetadata());
  return { model: join(t.testdir({ "m.gguf": "" }), "m.gguf"), runtime };
}

const reviews: JsonRow[] = [
  { sentence: "x", label: 0 },
  { sentence: "y", label: 0 },
];

t.test("calibration compares sums with those behind the domain prompt", async (t) => {
  const { model, runtime } = place(t);
  const config = { model, task: "sst2", data: reviews };
  const plain = await evaluateWith(runtime, config, {});
  t.match(plain, { accuracy: 1, f1: null, exactMatch: null });
  t.equal(plain.rows[1]?.scores, undefined);
  const calls = runtime.engines.length;
  const { accuracy, rows } = await evaluateWith(runtime, { ...config, calibration: "sfc" }, {});
  // " terrible" has 9 tokens, " great" 6. Sequences 0 to 3 are scored -0·9, -1·6, -2·9 and -3·6, and
  // the one domain row -0·9 and -1·6.
  t.same(
    rows.map(({ scores }) => scores),
    [
      [0, 0],
      [-18, -12],
    ],
  );
  t.same(
    rows.map(({ prediction }) => prediction),
    [0, 1],
  );
  t.equal(accuracy, 0.5);
  t.match(rows[1], { logprobs: [-2, -3] });
  const engine = runtime.engines[calls];
  t.same(engine?.calls, ["load", "evaluate", "evaluate", "close"]);
});

t.test("what cannot be calibrated", async (t) => {
  const { model, runtime } = place(t);
  const rejects = (task: object, message: RegExp) =>
    t.rejects(evaluateWith(runtime, { model, calibration: "sfc", data: [{}], ...task }, {}), {
      code,
      message,
    });
  await rejects({ task: "squad" }, /calibration is "sfc", but task "squad" has no options/);
  const bare = { task: "options", template: "x", options: ["a", "b"], data: [{ label: 0 }] };
  await rejects(bare, /the task makes no domainPrompt/);
  const options = { prompt: "q", options: ["a", "b"], label: 0 };
  const task = (domainPrompt: unknown) =>
    defineTask({
      name: "own",
      kind: "options",
      fields: {},
      example: () => ({ ...options, domainPrompt }) as typeof options,
    });
  const data: JsonRow[] = [{}];
  const own = { model, data, calibration: "sfc" as const };
  await t.rejects(evaluateWith(runtime, { ...own, task: task(3) }, {}), /a domainPrompt that is 3/);
  const long = evaluateWith(runtime, { ...own, task: task([70_000]) }, {});
  await t.rejects(long, { code: "ZO2_INVALID_DATA", message: /domain prompt token 0 is 70000/ });
  const { rows } = await evaluateWith(runtime, { ...own, task: task("") }, {});
  t.same(rows[0]?.scores, [0, 0], "bare options stand behind the end of a text");
});

t.test("demonstrations stand before rows, and before domain prompts where asked", async (t) => {
  const { model, runtime } = place(t);
  const demonstrations = [{ sentence: "d", label: 1 }];
  const rows: number[][] = [];
  const settings = { model, task: "sst2", data: reviews, demonstrations, shots: 1 };
  for (const calibration of ["none", "sfc", "icl_sfc"] as const) {
    const spied = { ...runtime, createEngine: () => spy(runtime.createEngine(), rows) };
    await evaluateWith(spied, { ...settings, calibration }, {});
  }
  const shown = bytes("d It was great\n\n").length;
  const read = (text: string, isShown: boolean): number =>
    bytes(text).length + (isShown ? shown : 0);
  const own = [read("x It was terrible", true), read("y It was terrible", true)];
  t.same(rows, [own, own, [read("It was terrible", false)], own, [read("It was terrible", true)]]);
  await t.rejects(evaluateWith(runtime, { ...settings, demonstrations: undefined }, {}), {
    code,
    message: /shots is 1, but demonstrations is missing/,
  });
  const lm = { ...settings, task: "lm", data: [{ text: "x" }] };
  await t.rejects(evaluateWith(runtime, lm, {}), { code, message: /no questions with answers/ });
  const few = evaluateWith(runtime, { ...settings, shots: 2 }, {});
  await t.rejects(few, {
    code: "ZO2_INVALID_DATA",
    message: /shots is 2, but demonstrations has 1/,
  });
});

/** Notes the length of each row's first sequence, of every evaluation. */
function spy(engine: ReturnType<ReturnType<typeof fakeRuntime>["createEngine"]>, to: number[][]) {
  const own = engine.evaluate.bind(engine);
  engine.evaluate = async (options) => {
    const { rowOffsets, sequenceOffsets: offsets } = options.rows;
    const firsts = Array.from(rowOffsets.subarray(0, -1));
    to.push(firsts.map((first) => (offsets[first + 1] ?? 0) - (offsets[first] ?? 0)));
    return own(options);
  };
  return engine;
}

const asked = (title: string, text: string[]): JsonRow => {
  return { title, context: "c", question: "q?", answers: { text, answer_start: [0] } };
};

t.test("answers are generated, up to a newline", async (t) => {
  const generated = [bytes(" the Old mill\nand more"), bytes(" a mill")];
  const { model, runtime } = place(t, { generated });
  const data = [asked("A", ["old", "old mill"]), asked("B", ["stream"])];
  const result = await evaluateWith(runtime, { model, task: "squad", data }, {});
  const [engine] = runtime.engines;
  const prompts = ["A", "B"].map((x) => bytes(`Title: ${x}\nContext: c\nQuestion: q?\nAnswer:`));
  t.same(Array.from(engine?.generated?.tokens ?? []), prompts.flat());
  t.match(engine?.generated, { maxNewTokens: 50, temperature: 0, batchSize: 45 });
  t.match(result, { accuracy: null, f1: 0.5, exactMatch: 0.5 });
  t.match(result.rows, [
    { text: "the Old mill", answers: ["old", "old mill"], f1: 1, exactMatch: 1 },
    { text: "a mill", f1: 0, exactMatch: 0 },
  ]);
  t.equal(result.rows[0]?.prediction, undefined);
});

t.test("a prompt leaves room for its answer", async (t) => {
  const { model, runtime } = place(t, { generated: [[]] });
  const config = { model, task: "drop", maxLength: 60 };
  const row = { passage: "p".repeat(80), question: "q?", answers_spans: { spans: ["5"] } };
  await evaluateWith(runtime, { ...config, data: [row] }, {});
  t.same(Array.from(runtime.engines[0]?.generated?.tokens ?? []), bytes("q?\nAnswer:"));
  Object.assign(runtime.metadata, byteLevelMetadata({ "tokenizer.ggml.add_bos_token": true }));
  await evaluateWith(runtime, { ...config, data: [row] }, {});
  const begun = Array.from(runtime.engines[1]?.generated?.tokens ?? []);
  t.same(begun, [259, ...bytes("?\nAnswer:")], "the beginning of text stays");
  const short = evaluateWith(runtime, { ...config, maxLength: 50, data: [row] }, {});
  await t.rejects(short, { code, message: /maxLength is 50, which leaves no room/ });
});

t.test("prompts are generated fewer at once where memory asks for it", async (t) => {
  const { model, runtime } = place(t, { generated: [bytes("x"), bytes("y")] });
  const sizes: number[] = [];
  const least = (bytesOf: number) => ({
    ...runtime,
    createEngine() {
      const engine = runtime.createEngine();
      const own = engine.generate.bind(engine);
      engine.generate = async (options, onEvent) => {
        sizes.push(options.batchSize);
        if (options.batchSize < bytesOf) return own(options, onEvent);
        throw Object.assign(new Error("needs more"), { code: "ZO2_OUT_OF_MEMORY" });
      };
      return engine;
    },
  });
  const data = [asked("A", ["x"]), asked("B", ["y"])];
  t.match(await evaluateWith(least(12), { model, task: "squad", data }, {}), { f1: 1 });
  t.same(sizes.splice(0), [45, 22, 11]);
  const none = evaluateWith(least(1), { model, task: "squad", data }, {});
  await t.rejects(none, { code: "ZO2_OUT_OF_MEMORY" });
  t.equal(sizes.at(-1), 1);
});

t.test("several right options", async (t) => {
  const { model, runtime } = place(t);
  const entities = ["Ann", "Bo", "the Bo Li"];
  const row = { passage: "p", query: "@placeholder ran", entities };
  const data = [
    { ...row, answers: ["the Bo Li", "Bo"] },
    { ...row, answers: ["Bo"] },
  ];
  // The fake engine chooses the first right option.
  const { rows, ...result } = await evaluateWith(runtime, { model, task: "record", data }, {});
  t.match(rows, [
    { label: 2, labels: [2, 1], prediction: 2, f1: 1, exactMatch: 1 },
    { label: 1, prediction: 1 },
  ]);
  t.equal(rows[1]?.labels, undefined);
  t.match(result, { accuracy: 1, f1: 1, exactMatch: 1 });
  // Options of 8, 7 and 14 tokens: sums of 0, -7, -28 and -24, -28, -70, less 0, -7, -28 of both.
  const calibrated = await evaluateWith(
    runtime,
    { model, task: "record", data, calibration: "sfc" },
    {},
  );
  t.same(
    calibrated.rows.map(({ scores }) => scores),
    [
      [0, 0, 0],
      [-24, -21, -42],
    ],
  );
  t.match(calibrated, { accuracy: 0.5, f1: 0.5, exactMatch: 0.5 });
});

t.test("definitions of one's own", async (t) => {
  const base = { name: "own", fields: {}, example: () => ({ prompt: "p" }) as never };
  const rejects = (change: object, message: RegExp): void => {
    t.throws(() => defineTask({ ...base, kind: "generation", ...change } as never), {
      code,
      message,
    });
  };
  rejects({ answer: { maxNewTokens: 0 } }, /answer.maxNewTokens is 0/);
  rejects({ answer: { stop: "" } }, /answer.stop is ""/);
  rejects({ kind: "other" }, /"lm", "options", "generation"/);
  const made = (example: object, kind: string) => {
    const task = defineTask({ ...base, kind, example: () => example } as never);
    return () => (task as unknown as { example(row: object): unknown }).example({});
  };
  const good = { prompt: "p", completion: " c\n", answers: ["c"] };
  t.same(made(good, "generation")(), good);
  t.throws(made({ ...good, prompt: 1 }, "generation"), /a prompt that is 1/);
  t.throws(made({ ...good, completion: 1 }, "generation"), /a completion that is 1/);
  t.throws(made({ ...good, answers: [] }, "generation"), /answers that are \[\]/);
  const choice = { prompt: "p", options: ["a", "b"], label: [1, 0], candidates: ["A", "B"] };
  t.same(made(choice, "options")(), choice);
  t.throws(made({ ...choice, label: [] }, "options"), /a label that is \[\]/);
  t.throws(made({ ...choice, label: [2] }, "options"), /a label that is \[2\]/);
  t.throws(made({ ...choice, candidates: ["A"] }, "options"), /candidates that are \["A"\]/);

  const { model, runtime } = place(t, { generated: [bytes(" 4; 5")] });
  const task = defineTask({
    name: "sum",
    kind: "generation",
    fields: { a: "integer", b: "integer" },
    answer: { maxNewTokens: 8, stop: ";" },
    example: ({ a, b }) => {
      return { prompt: `${a} + ${b} =`, completion: ` ${a + b};`, answers: [String(a + b)] };
    },
  });
  const result = await evaluateWith(runtime, { model, task, data: [{ a: 1, b: 3 }] }, {});
  t.match(result, { f1: 1, rows: [{ text: "4" }] });
  t.equal(runtime.engines[0]?.generated?.maxNewTokens, 8);
});

t.test("rows to train on and to choose by, of one file", async (t) => {
  const { model, runtime } = place(t);
  const dir = t.testdir({ "m.gguf": "" });
  const train = join(dir, "rows.jsonl");
  const lines = Array.from("abcdef", (s) => JSON.stringify({ sentence: s, label: 0 }));
  writeFileSync(train, lines.join("\n"));
  const config = {
    model,
    data: { train, task: "sst2", numTrain: 3, numDev: 2 },
    steps: 2,
    evalEvery: 1,
    output: join(dir, "run"),
  };
  const run = new TrainingRun(config, {}, runtime);
  t.match(await run.result, { step: 2, evaluation: { step: 2 } });
  const { rows } = await run.evaluate();
  t.same(
    rows.map(({ line }) => line),
    [1, 4],
    "rows 3 and 0 of the permutation 5 2 1 3 0 4",
  );
  await run.close();
  const trained = runtime.engines[0]?.trained;
  t.equal(trained?.trainRows.gold.length, 3);
  const again = await evaluateWith(runtime, { run: config.output, shots: 1 }, {});
  t.same(
    again.rows.map(({ line }) => line),
    [1, 4],
  );
  const shown = async (shots: number): Promise<string[]> => {
    const texts: string[] = [];
    const createEngine = () => {
      const engine = runtime.createEngine();
      const own = engine.evaluate.bind(engine);
      engine.evaluate = async (options) => {
        texts.push(Buffer.from(options.rows.tokens).toString());
        return own(options);
      };
      return engine;
    };
    await evaluateWith({ ...runtime, createEngine }, { run: config.output, shots }, {});
    return texts.flatMap((text) => text.match(/[a-f](?= It was terrible\n\n)/g) ?? []);
  };
  const demonstrated = await shown(3);
  t.equal(demonstrated.length, 3 * 4, "before each option of both rows");
  t.same([...new Set(demonstrated)].sort(), ["b", "c", "f"], "rows that are trained on alone");
  await t.rejects(shown(4), {
    code: "ZO2_INVALID_DATA",
    message: /shots is 4, but .*rows\.jsonl has 3 rows to train on/,
  });
  const refuse = (data: object, message: RegExp): void => {
    const changed = { ...config, data: { ...config.data, ...data } };
    t.throws(() => new TrainingRun(changed, {}, runtime), { code, message });
  };
  refuse({ eval: train }, /either data.eval \(a file\), or data.numDev/);
  refuse({ numDev: undefined }, /evalEvery is 1, but data.eval is missing/);
  refuse({ numDev: 0 }, /data.numDev is 0; it must be an integer from 1/);
  const other = { ...config, steps: 3, data: { ...config.data, drawSeed: 1 } };
  const second = new TrainingRun(other, {}, runtime);
  await t.rejects(second.result, {
    code: "ZO2_JOURNAL_MISMATCH",
    message: /data.drawSeed: saved nothing, given 1/,
  });
  await t.rejects(evaluateWith(runtime, { run: config.output, numEval: 1 }, {}), {
    code,
    message: /numEval is 1, but data is missing/,
  });
  const drawn = await evaluateWith(runtime, { run: config.output, data: train, numEval: 2 }, {});
  t.same(
    drawn.rows.map(({ line }) => line),
    [3, 6],
  );
});

const copa = (premise: string, label: number): JsonRow => {
  return { premise, choice1: "It was good.", choice2: "It was bad.", question: "cause", label };
};

t.test("on the engine, options are predicted and chosen", async (t) => {
  const dir = t.testdir();
  const file = (name: string, rows: JsonRow[]): string => {
    writeFileSync(join(dir, name), rows.map((row) => JSON.stringify(row)).join("\n"));
    return join(dir, name);
  };
  const rows = [copa("I liked it.", 0), copa("I left early.", 1)];
  const events: TrainEvent[] = [];
  const trainer = new Trainer(
    {
      model: "models/reviews-tiny",
      data: { train: file("train.jsonl", rows), eval: file("eval.jsonl", rows), task: "copa" },
      steps: 2,
      batchSize: 2,
      evalEvery: 1,
      output: join(dir, "run"),
    },
    { onEvent: (event) => events.push(event) },
  );
  const { firstLoss } = await trainer.result;
  const own = await trainer.evaluate();
  t.match(own.rows, [{ logprobs: [Number, Number] }, { logprobs: [Number, Number] }]);
  await trainer.close();
  const evaluations = events.filter(({ event }) => event === "eval");
  t.match(evaluations.at(-1), { step: 2, loss: own.loss, accuracy: own.accuracy });
  // What training measured first is the mean over the tokens of both right choices.
  const prompts = ["I liked it because", "I left early because"];
  const completions = [" it was good.", " it was bad."];
  const base = await evaluate({
    model: "models/reviews-tiny",
    task: defineTask({
      name: "right",
      kind: "generation",
      fields: { i: "integer" },
      answer: { maxNewTokens: 1 },
      example: ({ i }) => {
        return { prompt: prompts[i] ?? "", completion: completions[i] ?? "", answers: ["x"] };
      },
    }),
    data: [{ i: 0 }, { i: 1 }],
  });
  t.ok(Math.abs((firstLoss ?? 0) - base.loss) < 1e-3, `${firstLoss} and ${base.loss}`);
});

t.test("on the engine, a run answers", async (t) => {
  const dir = t.testdir();
  const train = join(dir, "train.jsonl");
  const rows = [asked("A", ["x"]), asked("B", ["y"])];
  writeFileSync(train, rows.map((row) => JSON.stringify(row)).join("\n"));
  const output = join(dir, "run");
  const data = { train, eval: train, task: "squad" };
  const config = { model: "models/reviews-tiny", data, steps: 2, batchSize: 2, output };
  const trainer = new Trainer(config);
  const { evaluation } = await trainer.result;
  const own = await trainer.evaluate();
  t.equal(own.loss, evaluation?.loss);
  t.match(own.rows, [{ text: String, f1: Number }, { text: String }]);
  await trainer.close();
  const again = await evaluate({ run: output });
  t.same(
    again.rows.map(({ text, loss }) => [text, loss]),
    own.rows.map(({ text, loss }) => [text, loss]),
  );
});
