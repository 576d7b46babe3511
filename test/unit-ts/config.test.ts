// The configuration: defaults, limits, sizes, messages, flags.
import t from "tap";
import {
  type ExportConfig,
  type ReplayRequest,
  replay,
  resolveTrainConfig,
  type TrainConfig,
  Trainer,
  train,
  Zo2Error,
} from "zo2";
import {
  evaluateFlags,
  exportFlags,
  generateFlags,
  mergeFlags,
  trainFlags,
} from "../../dist/config/flags.js";
import { checkIdentity } from "../../dist/config/identity.js";
import {
  resolveEvaluateConfig,
  resolveExportConfig,
  resolveGenerateConfig,
} from "../../dist/config/resolve.js";
import type { Same } from "../../dist/config/same.js";
import { roundingOf } from "../../dist/config/rounding.js";
import { parseSize } from "../../dist/config/sizes.js";

const minimal: TrainConfig = { model: "m", data: { train: "t.jsonl" }, steps: 3, output: "o" };

/** The message of the configuration error that a config makes. */
function problem(config: object): string {
  try {
    resolveTrainConfig({ ...minimal, ...config } as TrainConfig);
  } catch (error) {
    if (error instanceof Zo2Error && error.code === "ZO2_INVALID_CONFIG") return error.message;
    throw error;
  }
  return "accepted";
}

t.test("defaults are filled in", async (t) => {
  const config = resolveTrainConfig(minimal);
  t.match(config, {
    data: { task: "lm", labelField: "label" },
    method: {
      name: "mezo",
      learningRate: 1e-6,
      epsilon: 1e-3,
      directions: 1,
      distribution: "gaussian",
      lrSchedulerType: "constant",
      clip: 0,
    },
    batchSize: 16,
    seed: 42,
    resume: "auto",
    schedule: { storage: "f32", roundEvery: "auto", rounding: "stochastic", threads: 0 },
  });
  t.equal(resolveTrainConfig({ ...minimal, seed: 0 }).seed, 0, "seed 0 is a seed");
  const again = resolveTrainConfig(JSON.parse(JSON.stringify(config)) as TrainConfig);
  t.same(again, JSON.parse(JSON.stringify(config)), "a resolved configuration resolves to itself");
});

t.test("messages name field, value and what is allowed", async (t) => {
  t.match(problem({ steps: 0 }), /^steps is 0; it must be an integer from 1 to/);
  t.match(problem({ steps: undefined }), /^steps is missing/);
  t.match(problem({ steps: 1.5 }), /^steps is 1.5/);
  t.match(
    problem({ method: { epsilon: -1 } }),
    /^method.epsilon is -1; it must be a number from 1e-30 to 1e10/,
  );
  for (const epsilon of [0, 1e-31, 1.1e10, Number.NaN]) {
    t.match(problem({ method: { epsilon } }), /^method.epsilon is/);
  }
  for (const epsilon of [1e-30, 1e10]) t.equal(problem({ method: { epsilon } }), "accepted");
  for (const name of ["learningRate", "weightDecay", "clip"]) {
    for (const value of [-1e-9, 1e30, Number.POSITIVE_INFINITY]) {
      t.match(problem({ method: { [name]: value } }), /at least 0 and below 1e30/);
    }
    t.equal(problem({ method: { [name]: 9e29 } }), "accepted");
  }
  t.match(problem({ evalEvery: 2 }), /^evalEvery is 2, but data.eval is missing/);
  t.equal(problem({ evalEvery: 2, data: { train: "t", eval: "e" } }), "accepted");
  t.match(problem({ method: { distribution: "cauchy" } }), /"cauchy".*"gaussian", "rademacher"/);
  t.match(problem({ method: 3 }), /^method is 3; it must be an object/);
  t.match(problem({ schedule: { memory: "4 parsecs" } }), /schedule.memory is "4 parsecs".*4GiB/);
  t.match(problem({ schedule: { offload: "tape" as "disk" } }), /offload is "tape".*"disk"/);
  t.match(problem({ schedule: { slots: 1 } }), /^schedule.slots is 1; .*from 2 to 1024/);
  t.match(problem({ schedule: { placement: -1 } }), /placement is -1; .*"auto" or a number/);
  const tiers = { offload: "disk", hostMemory: "1GB", disk: 1, placement: 3 } as const;
  t.equal(problem({ schedule: tiers }), "accepted");
  t.match(problem({ schedule: { isa: " " } }), /^schedule.isa is " "; it must be "auto", or/);
  t.match(problem({ maxSkipped: 1e9 + 1 }), /is 1000000001; .* from 1 to 1000000000/);
  t.equal(problem({ maxSkipped: 1e9, schedule: { roundEvery: 1e9 } }), "accepted");
  t.match(problem({ schedule: { roundEvery: 2 ** 31 - 1 } }), /roundEvery is 2147483647/);
  t.match(problem({ seed: 2 ** 53 }), /^seed is/);
  t.match(problem({ batchSize: 2 ** 20 }), /^batchSize is 1048576; .* from 1 to 2\^20 - 1$/);
  t.equal(problem({ batchSize: 2 ** 20 - 1 }), "accepted");
  t.match(problem({ data: { train: "t.txt" } }), /^data.train is "t.txt"; it must end in .*\.csv/);
  t.match(problem({ data: { train: "t", eval: "e.xls" } }), /^data.eval is "e.xls"/);
  t.match(
    problem({ data: { train: "t", task: 3 } }),
    /^data.task is 3; .*what defineTask\(\) makes/,
  );
  t.match(problem({ data: { train: "t", completionOnlyLoss: "no" } }), /true or false/);
  t.match(problem({ data: { train: "t", labels: [1] } }), /data.labels is \[1\]/);
});

t.test("what is no configuration", async (t) => {
  const code = "ZO2_INVALID_CONFIG";
  for (const [none, message] of [
    [undefined, /^the configuration is missing; it must be an object with named values$/],
    [null, /^the configuration is null; it must be an object/],
    [3, /^the configuration is 3; it must be an object/],
    [[], /^the configuration is \[\]; it must be an object/],
  ] as const) {
    const config = none as unknown as TrainConfig;
    t.throws(() => resolveTrainConfig(config), { code, message });
    t.throws(() => new Trainer(config), { code, message });
    await t.rejects(train(config), { code, message });
  }
  for (const none of [undefined, null, 3]) {
    const message = /^the configuration is (missing|null|3); it must be an object/;
    await t.rejects(replay(none as unknown as ReplayRequest), { code, message });
  }
});

t.test("what replay() is asked", async (t) => {
  const code = "ZO2_INVALID_CONFIG";
  const request = { base: "m", journal: "j", out: "o" };
  const refuse = async (change: object, message: RegExp) =>
    t.rejects(replay({ ...request, ...change }), { code, message });
  await refuse({ steps: 5 }, /^steps is not known; did you mean step\?$/);
  await refuse({ mergeAdapter: "false" }, /^mergeAdapter is "false"; it must be true or false$/);
  await refuse({ step: 1.5 }, /^step is 1.5; it must be an integer from 0/);
  await refuse({ step: "3" }, /^step is "3"/);
  await refuse({ adapter: 3 }, /^adapter is 3/);
  await refuse({ base: 3 }, /^base must be a path$/);
  await refuse({ out: undefined }, /^out must be a path$/);
});

t.test("any value can be shown", async (t) => {
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  t.match(problem({ steps: 3n }), /^steps is 3n;/);
  t.match(problem({ steps: [3n] }), /^steps is \["3n"\];/);
  t.match(problem({ steps: circular }), /^steps is <ref \*1> \{ self: \[Circular \*1\] \};/);
  t.match(problem({ steps: Number.NaN }), /^steps is NaN;/);
  t.match(problem({ method: { clip: Number.POSITIVE_INFINITY } }), /^method.clip is Infinity;/);
  t.match(problem({ steps: Symbol("s") }), /^steps is Symbol\(s\);/);
  const angry = {
    toJSON() {
      throw new Error("no");
    },
  };
  t.match(problem({ steps: angry }), /^steps is \{ toJSON/);
  t.match(problem({ resume: "x".repeat(100) }), /^resume is "x{76}\.\.\.;/);
});

t.test("unknown names come with a suggestion", async (t) => {
  t.match(problem({ bachSize: 3 }), /bachSize is not known; did you mean batchSize\?/);
  t.match(problem({ learning_rate: 1 }), /did you mean method.learningRate\?/);
  t.match(
    problem({ method: { lr: 1 } }),
    /method.lr is not known; did you mean method.learningRate/,
  );
  t.match(problem({ per_device_train_batch_size: 1 }), /did you mean batchSize\?/);
  t.match(problem({ assistantOnlyLoss: true }), /did you mean data.completionOnlyLoss\?/);
  t.match(problem({ zzzzzz: 1 }), /^zzzzzz is not known$/);
  t.match(problem({ constructor: 1 }), /^constructor is not known$/);
  t.match(problem({ data: { train: "t", task: "sst3" } }), /"sst3".*did you mean "sst2"\?/);
});

t.test("tasks are checked with the configuration", async (t) => {
  const data = { train: "t", task: "options" };
  t.match(problem({ data }), /data.template is missing/);
  t.match(problem({ data: { ...data, template: "{a" } }), /data.options is missing/);
  const options = [" no", " yes"];
  t.match(problem({ data: { ...data, template: "{a", options } }), /lone or empty brace/);
  t.match(
    problem({ data: { ...data, template: "x", options, labels: ["a", "b", "c"] } }),
    /3 values/,
  );
  t.match(
    problem({ data: { ...data, template: "x", options: [" a", " a"] } }),
    /data.options holds " a" twice/,
  );
  t.match(
    problem({ data: { ...data, template: "x", options, labels: ["1", 1] } }),
    /data.labels holds "1" twice/,
  );
  t.match(problem({ data: { train: "t", template: "x" } }), /task "lm" has none/);
  t.equal(problem({ data: { ...data, template: "{a}", options, labels: ["n", "y"] } }), "accepted");
});

t.test("sizes", async (t) => {
  t.equal(parseSize("4GB"), 4e9);
  t.equal(parseSize("4GiB"), 4 * 2 ** 30);
  t.equal(parseSize(" 1.5 mb "), 1.5e6);
  t.equal(parseSize("512"), 512);
  t.equal(parseSize(77), 77);
  for (const bad of ["", "GB", "-1GB", "0", "4QB", Number.NaN, "1e400TB", -5]) {
    t.equal(parseSize(bad), undefined, String(bad));
  }
});

t.test("flags", async (t) => {
  const names = trainFlags.map(({ name }) => name);
  t.equal(new Set(names).size, names.length, "no two flags share a name");
  for (const name of ["model", "data", "eval-data", "task", "batch-size", "steps", "epsilon"]) {
    t.ok(names.includes(name), name);
  }
  for (const name of ["learning-rate", "lr-scheduler-type", "storage", "output", "offload"]) {
    t.ok(names.includes(name), name);
  }
  const evaluation = evaluateFlags.map(({ name }) => name);
  t.equal(new Set(evaluation).size, evaluation.length);
  for (const name of ["model", "run", "data", "task", "threads"]) t.ok(evaluation.includes(name));
  for (const name of ["round-every", "rounding", "disk", "overlap"]) {
    t.notOk(evaluation.includes(name), `${name} would do nothing`);
  }
  t.same(
    evaluateFlags.filter(
      ({ name, defaultValue }) =>
        ["storage", "extent-bytes"].includes(name) && defaultValue !== undefined,
    ),
    [],
    "the run's apply",
  );
  const placed = [
    "device",
    "memory",
    "matmul",
    "threads",
    "isa",
    "offload",
    "host-memory",
    "extent-bytes",
  ];
  placed.push("slots", "look-ahead", "placement");
  t.same(
    exportFlags.map(({ name }) => name),
    ["run", "out", "model", "merge-adapter", ...placed],
  );

  const file = { steps: 5, method: { epsilon: 0.1, clip: 2 } };
  const merged = mergeFlags(trainFlags, file, {
    data: "x.jsonl",
    "learning-rate": "1e-4",
    epsilon: "0.5",
    options: '[" a, b", " c"]',
    "round-every": "4",
    output: "123",
    "batch-size": "many",
  });
  t.same(merged, {
    steps: 5,
    data: { train: "x.jsonl", options: [" a, b", " c"] },
    method: { epsilon: 0.5, clip: 2, learningRate: 1e-4 },
    schedule: { roundEvery: 4 },
    output: "123",
    batchSize: "many",
  });
  t.same(mergeFlags(trainFlags, {}, { "completion-only-loss": "false", task: "chat" }), {
    data: { completionOnlyLoss: false, task: "chat" },
  });
  t.same(mergeFlags(trainFlags, {}, { "completion-only-loss": "0" }), {
    data: { completionOnlyLoss: "0" },
  });
  t.same(file.method, { epsilon: 0.1, clip: 2 }, "the file's object is not touched");
  t.same(mergeFlags(trainFlags, {}, { options: " a, b" }), { data: { options: [" a", " b"] } });
  const listed = (name: string, text: string) => mergeFlags(trainFlags, {}, { [name]: text });
  t.strictSame(listed("labels", "0,1"), { data: { labels: [0, 1] } });
  t.strictSame(
    listed("labels", "-1,2.5,01, 2,1e3,,no,NaN,Infinity"),
    { data: { labels: [-1, 2.5, "01", " 2", "1e3", "", "no", "NaN", "Infinity"] } },
    "numbers that are written otherwise stay texts",
  );
  const ids = (text: string) => mergeFlags(generateFlags, {}, { "stop-token-ids": text });
  t.strictSame(ids("2, 3"), { stopTokenIds: [2, 3] });
  t.strictSame(ids("2,"), { stopTokenIds: [2, ""] });
  t.strictSame(ids("2, ,x"), { stopTokenIds: [2, " ", "x"] });
  t.throws(() => resolveGenerateConfig({ model: "m", prompts: "p", ...ids("2,") }), {
    code: "ZO2_INVALID_CONFIG",
    message: /^stopTokenIds\.1 is ""; stopTokenIds must be a list of token ids$/,
  });
  const stops = (stop: string) => mergeFlags(generateFlags, {}, { stop });
  t.same(stops('["a,b", "c"]'), { stop: ["a,b", "c"] });
  t.same(stops("[END]"), { stop: "[END]" }, "a text, too, may begin with a bracket");
  t.throws(() => mergeFlags(trainFlags, {}, { options: "[1" }), { code: "ZO2_INVALID_CONFIG" });
  t.throws(() => mergeFlags(trainFlags, { data: 3 }, { data: "x" }), {
    code: "ZO2_INVALID_CONFIG",
  });
});

t.test("identity of a run", async (t) => {
  const saved = resolveTrainConfig(minimal);
  const given = (config: Partial<TrainConfig>) => resolveTrainConfig({ ...minimal, ...config });
  const changed = { code: "ZO2_JOURNAL_MISMATCH" };
  const evaluated = { evalEvery: 2, data: { ...minimal.data, eval: "e.jsonl" } };
  checkIdentity(saved, given({ ...evaluated, steps: 9, schedule: { threads: 2 } }), "f");
  checkIdentity(saved, given({ schedule: { rounding: "nearest", roundEvery: 4 } }), "f");
  t.throws(() => checkIdentity(saved, given({ seed: 1 }), "f"), {
    ...changed,
    message: /^f belongs .*seed: saved 42, given 1/,
  });
  t.throws(() => checkIdentity(saved, given({ data: { train: "other" } }), "f"), changed);
  checkIdentity(saved, given({ model: "moved" }), "f");
  const long = (end: string): ReturnType<typeof given> => {
    const template = `${"word ".repeat(40)}${end} {a}${" more".repeat(40)}`;
    return given({ data: { train: "t", task: "options", template, options: ["a", "b"] } });
  };
  checkIdentity(long("one"), long("one"), "f");
  t.throws(() => checkIdentity(long("one"), long("two"), "f"), {
    ...changed,
    message: /data.template: saved \.{3}[^;]{20,60}one \{a\}.*, given \.{3}.*two \{a\}/,
  });
  t.throws(() => checkIdentity(saved, long("one"), "f"), {
    message: /data.template: saved nothing, given "word/,
  });
  t.throws(() => checkIdentity(saved, given({ schedule: { storage: "bf16" } }), "f"), changed);
  const half = (roundEvery: "auto" | number) =>
    given({ schedule: { storage: "bf16", roundEvery, rounding: "nearest" } });
  checkIdentity(half("auto"), half(1), "f");
  t.throws(() => checkIdentity(half("auto"), half(2), "f"), {
    ...changed,
    message: /schedule.roundEvery: saved 1, given 2/,
  });
  const f32 = { storage: "f32" as const, roundEvery: 4, rounding: "nearest" as const };
  t.same(
    [roundingOf(given({ schedule: f32 })), roundingOf(half(4))],
    [
      { roundEvery: 1, rounding: "stochastic" },
      { roundEvery: 4, rounding: "nearest" },
    ],
    "what the engine is told",
  );
  t.throws(
    () =>
      checkIdentity(saved, given({ data: { ...minimal.data, completionOnlyLoss: false } }), "f"),
    { ...changed, message: /data.completionOnlyLoss: saved true, given false/ },
  );
  const linear = { method: { lrSchedulerType: "linear" as const } };
  t.throws(() => checkIdentity(given(linear), given({ ...linear, steps: 9 }), "f"), {
    ...changed,
    message: /steps: saved 3, given 9/,
  });
});

t.test("declared types are those of the schema, to every optional value", async (t) => {
  // Of two types that may stand for each other, the compiler is to tell that they are not the same.
  type Nested = { a?: string; inner?: { b?: number } };
  const differences: Same<Nested, Nested & { c?: string }>[] = [];
  const deeper: Same<Nested, { a?: string; inner?: { b?: number; c?: number } }>[] = [];
  const none: never[] = [...differences, ...deeper];
  const same: Same<Nested, { inner?: { b?: number }; a?: string }> = true;
  t.same([none, same], [[], true]);
});

t.test("evaluation", async (t) => {
  const code = "ZO2_INVALID_CONFIG";
  t.throws(() => resolveEvaluateConfig({}), { code, message: /give model .*, or run/ });
  t.throws(() => resolveEvaluateConfig({ model: "m" }), { code, message: /data is missing/ });
  const rounded = { model: "m", data: "d", schedule: { roundEvery: 2 } as object };
  t.throws(() => resolveEvaluateConfig(rounded), { code, message: /schedule.roundEvery is not/ });
  const snapshots = { model: "m", data: "d", schedule: { checkpointEvery: 2 } as object };
  t.throws(() => resolveEvaluateConfig(snapshots), { code, message: /checkpointEvery is not/ });
  t.same(resolveEvaluateConfig({ run: "r", model: "m" }).model, "m", "where the run's model is");
  const { schedule } = resolveEvaluateConfig({ model: "m", data: "d" });
  const placed = { device: "auto", threads: 0, isa: "auto", offload: "auto", placement: "auto" };
  t.same(schedule, { ...placed, matmul: "zo2", lookAhead: 0, evalBatchTokens: 4096 });
});

t.test("export", async (t) => {
  const code = "ZO2_INVALID_CONFIG";
  const none = {} as ExportConfig;
  t.throws(() => resolveExportConfig(none), { code, message: /run is missing.*\nout is missing/ });
  const run = { run: 3, out: "" } as unknown as ExportConfig;
  t.throws(() => resolveExportConfig(run), { code, message: /^run is 3; .*\nout is "";/ });
  const schedule = { memory: "1GB", threads: 2 };
  t.match(resolveExportConfig({ run: "r", out: "o", schedule }), {
    run: /^\/.*\/r$/,
    out: /^\/.*\/o$/,
    schedule: { memory: 1e9, threads: 2, isa: "auto" },
  });
});
