// Models and rows by their names on the Hugging Face Hub, from a server on this machine. One test needs the addon.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { readRows, type Source } from "../../dist/data/formats.js";
import { locateRows } from "../../dist/data/locate.js";
import { chooseRowFiles } from "../../dist/hub/data.js";
import { parseReference } from "../../dist/hub/reference.js";
import type { DownloadEvent } from "../../dist/hub/snapshot.js";
import { evaluate, type TrainEvent, train, Zo2Error } from "../../dist/index.js";
import { locateModel } from "../../dist/model.js";
import { commit, type Fault, FakeHub, type Repository } from "../support/fake-hub.js";

for (const name of ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"]) delete process.env[name];

const code = "ZO2_DOWNLOAD";
const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i * 7));
const small = { "config.json": "{}", "tokenizer.json": '{"a":1}' };
const model = (files: Repository["files"]): Repository => ({
  type: "model",
  name: "org/tiny",
  files: { ...small, ...files },
});
const whole = model({
  "model.safetensors": weights,
  "pytorch_model.bin": "x",
  "README.md": "y",
  "onnx/model.onnx": "z",
});
async function hubOf(t: Test, ...repositories: Repository[]): Promise<FakeHub> {
  const hub = new FakeHub(repositories);
  await hub.start(t);
  return hub;
}
const cache = (): string => join(process.env.HF_HOME ?? "", "hub");
const blobs = (): string[] => readdirSync(join(cache(), "models--org--tiny", "blobs"));
async function rowsOf(source: Source): Promise<unknown[]> {
  const rows: unknown[] = [];
  for await (const row of readRows(source)) rows.push(row);
  return rows;
}

t.test("names", async (t) => {
  const name = "org/name-1.5";
  const main = { type: "model", name, revision: "main" };
  t.match(parseReference(name, "model"), main);
  t.match(parseReference(`${name}@v1/a`, "model"), { ...main, revision: "v1/a" });
  t.match(parseReference(`hf://${name}`, "model"), main);
  t.match(parseReference(`hf://${name}@v2/a/b.gguf`, "model"), {
    revision: "v2",
    path: "a/b.gguf",
  });
  const rows = parseReference("hf://datasets/org/rows@~parquet/all/train-*", "dataset");
  t.match(rows, { name: "org/rows", revision: "refs/convert/parquet", path: "all/train-*" });
  for (const path of ["./org/name", "/org/name", "name", "a/b/c", "rows/train.jsonl", "a/b.gguf"]) {
    t.equal(parseReference(path, "model"), undefined, path);
  }
  for (const bad of ["hf://", "hf://datasets/org/name", "hf://org/name/../x"]) {
    t.throws(() => parseReference(bad, "model"), { code: "ZO2_INVALID_CONFIG", message: bad });
  }
});

t.test("a model: what is read of it, once", async (t) => {
  const hub = await hubOf(t, whole);
  const events: DownloadEvent[] = [];
  const onDownload = (event: DownloadEvent): unknown => events.push(event);
  t.match(await locateModel("org/tiny", { onDownload }, "config"), commit);
  t.same(hub.fetched, ["config.json"], "plans need no weights");
  const path = await locateModel("org/tiny", { onDownload });
  t.same(readdirSync(path).sort(), ["config.json", "model.safetensors", "tokenizer.json"]);
  t.ok(readFileSync(join(path, "model.safetensors")).equals(weights));
  t.match(readlinkSync(join(path, "model.safetensors")), /^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
  t.match(events.at(-1), {
    event: "download",
    source: "org/tiny",
    file: "model.safetensors",
    bytes: weights.length,
    totalBytes: weights.length,
  });
  await hub.stop();
  t.equal(await locateModel("org/tiny"), path, "without network");
  t.equal(await locateModel("org/tiny@" + commit), path, "by its commit");
});

t.test("weights in several files, and a .gguf file", async (t) => {
  const map = { a: "model-1.safetensors", b: "model-2.safetensors", c: "model-1.safetensors" };
  const files = {
    "model-1.safetensors": "1",
    "model-2.safetensors": "",
    "model-3.safetensors": "3",
  };
  const index = JSON.stringify({ weight_map: map });
  const sharded = {
    ...model({ ...files, "model.safetensors.index.json": index }),
    name: "org/two",
  };
  const gguf = { ...model({ "q8/tiny.gguf": "GGUF" }), name: "org/gguf" };
  const hub = await hubOf(t, sharded, gguf);
  const path = await locateModel("org/two");
  t.ok(existsSync(join(path, "model-2.safetensors")), "an empty one, too");
  t.notOk(hub.fetched.includes("model-3.safetensors"), "one that the index does not name");
  t.match(await locateModel("hf://org/gguf/q8/tiny.gguf"), /q8\/tiny\.gguf$/);
  await t.rejects(locateModel("org/gguf"), {
    code: "ZO2_INVALID_MODEL",
    message: /"org\/gguf" has no safetensors.*give hf:\/\/org\/gguf\/q8\/tiny\.gguf/,
  });
});

t.test("an interrupted download goes on where it was", async (t) => {
  const hub = await hubOf(t, model({ "model.safetensors": weights }));
  hub.faults.push({}, {}, { cutAfter: 100_000 }, { cutAfter: 50_000 });
  const path = await locateModel("org/tiny");
  t.ok(readFileSync(join(path, "model.safetensors")).equals(weights));
  const ranges = hub.requests.flatMap(
    (line) => /safetensors bytes=([1-9]\d*)-/.exec(line)?.[1] ?? [],
  );
  t.equal(ranges.length, 2, "twice in the same call");
  t.ok(Number(ranges[0]) <= 100_000 && Number(ranges[1]) > Number(ranges[0]), ranges.join());
});

t.test("a download that failed is gone on with by the next process", async (t) => {
  const hub = await hubOf(t, model({ "model.safetensors": weights }));
  hub.faults.push({}, {}, { cutAfter: 65_536 }, { cutAfter: 0 }, { cutAfter: 0 }, { cutAfter: 0 });
  await t.rejects(locateModel("org/tiny"), {
    code,
    message: /"org\/tiny" is neither.*try|connect/,
  });
  const partial = blobs().find((name) => name.endsWith(".incomplete")) ?? "";
  const { size } = statSync(join(cache(), "models--org--tiny", "blobs", partial));
  t.ok(size > 0 && size <= 65_536, `${size} bytes were kept`);
  hub.faults.length = 0;
  hub.requests.length = 0;
  await locateModel("org/tiny");
  t.ok(hub.requests.some((line) => line.includes(`bytes=${size}-${weights.length - 1}`)));
  t.notOk(
    hub.requests.some((line) => line.includes("/api/")),
    "what there is, is known",
  );
  t.notOk(blobs().some((name) => name.endsWith(".incomplete")));
});

t.test("damaged bytes never get into the cache", async (t) => {
  const hub = await hubOf(t, model({ "model.safetensors": weights }));
  hub.faults.push({ damaged: true });
  const damaged = (file: string) => ({ code, message: new RegExp(`org/tiny: ${file} .*checksum`) });
  await t.rejects(locateModel("org/tiny"), damaged("config.json"));
  hub.faults.push({}, {}, { damaged: true });
  await t.rejects(locateModel("org/tiny"), damaged("model.safetensors"));
  t.same(blobs().length, 2, "what came before it is kept, itself not");
  const path = await locateModel("org/tiny");
  t.ok(readFileSync(join(path, "model.safetensors")).equals(weights));
});

t.test("two downloads at once", async (t) => {
  const hub = await hubOf(t, whole);
  const [one, other] = await Promise.all([locateModel("org/tiny"), locateModel("org/tiny")]);
  t.equal(one, other);
  t.ok(readFileSync(join(one, "model.safetensors")).equals(weights));
  t.equal(blobs().length, 3, "nothing unfinished is left");
  t.same(readdirSync(one).sort(), ["config.json", "model.safetensors", "tokenizer.json"]);
  t.same(readdirSync(join(cache(), "models--org--tiny", "zo2")), [`${commit}.json`]);
  await hub.stop();
});

/** A download whose weights arrive, with the fault, when another download has all of them. */
async function overtaken(
  t: Test,
  fault: Fault,
): Promise<{ late: Promise<string>; path: string; hub: FakeHub }> {
  const hub = await hubOf(t, whole);
  let release = (): void => undefined;
  const held = new Promise<void>((done) => {
    release = done;
  });
  hub.faults.push({}, {}, { ...fault, held });
  const late = locateModel("org/tiny");
  while (!hub.requests.some((line) => line.endsWith("model.safetensors"))) {
    await new Promise((done) => setTimeout(done, 1));
  }
  const path = await locateModel("org/tiny");
  release();
  return { late, path, hub };
}

t.test("a download that another one was faster than", async (t) => {
  const { late, path } = await overtaken(t, {});
  t.equal(await late, path);
  t.ok(readFileSync(join(path, "model.safetensors")).equals(weights));
  t.equal(blobs().length, 3);
});

t.test("a download that is cut when another one has the file", async (t) => {
  const { late, path, hub } = await overtaken(t, { cutAfter: 1000 });
  t.equal(await late, path);
  const bodies = hub.requests.filter((line) => line.endsWith("model.safetensors"));
  t.equal(bodies.length, 2, "it is not asked for again");
  t.equal(blobs().length, 3);
});

t.test("damage that comes late is seen", async (t) => {
  const { late } = await overtaken(t, { damaged: true });
  await t.rejects(late, { code, message: /model\.safetensors arrived damaged/ });
  const path = await locateModel("org/tiny");
  t.ok(readFileSync(join(path, "model.safetensors")).equals(weights), "fetched again");
});

t.test("the commit that Hugging Face's tools have a branch at is kept", async (t) => {
  const hub = await hubOf(t, whole);
  const older = "fedcba98".repeat(5);
  const folder = join(cache(), "models--org--tiny");
  mkdirSync(join(folder, "refs"), { recursive: true });
  writeFileSync(join(folder, "refs", "main"), older);
  const path = await locateModel("org/tiny");
  t.equal(path, join(folder, "snapshots", older));
  t.equal(readFileSync(join(folder, "refs", "main"), "utf8"), older);
  t.same(
    hub.requests.filter((line) => !line.includes(older)),
    [],
    "nothing is asked of another commit",
  );
  await hub.stop();
  t.equal(await locateModel("org/tiny"), path, "without network");
});

t.test("refusals name the model and what to do", async (t) => {
  const token = "hf_secret";
  const hub = await hubOf(t, { ...whole, token });
  await t.rejects(locateModel("org/other"), { code, message: /"org\/other".*401.*set HF_TOKEN/ });
  await t.rejects(locateModel("org/tiny"), { code, message: /401/ });
  process.env.HF_TOKEN = "secret";
  await t.rejects(locateModel("org/tiny"), {
    code: "ZO2_INVALID_CONFIG",
    message: /^HF_TOKEN does/,
  });
  process.env.HF_TOKEN = token;
  t.ok(await locateModel("org/tiny"));
  delete process.env.HF_TOKEN;
  const asked = hub.requests.length;
  process.env.HF_HUB_OFFLINE = "1";
  await t.rejects(locateModel("org/new"), { code, message: /"org\/new".*HF_HUB_OFFLINE is set/ });
  t.ok(await locateModel("org/tiny"), "what is here is found");
  delete process.env.HF_HUB_OFFLINE;
  t.equal(hub.requests.length, asked, "nothing was asked");
  await t.rejects(locateModel("name"), { code: "ZO2_INVALID_MODEL", message: /org\/name/ });
  await hub.stop();
  const offline =
    /"org\/new" is neither a path here.*127\.0\.0\.1.*cannot be reached.*give a directory/;
  await t.rejects(locateModel("org/new"), { code, message: offline });
});

t.test("a path that exists wins, and a signal or a callback ends it", async (t) => {
  const hub = await hubOf(t, whole);
  const folder = t.testdir({ org: { tiny: {} } });
  const before = process.cwd();
  process.chdir(folder);
  t.equal(await locateModel("org/tiny"), join(folder, "org/tiny"));
  process.chdir(before);
  t.same(hub.requests, []);
  const reason = new Error("enough");
  const controller = new AbortController();
  const onDownload = (): void => controller.abort(reason);
  await t.rejects(locateModel("org/tiny", { signal: controller.signal, onDownload }), reason);
  const failing = { onDownload: () => Promise.reject(reason) };
  await t.rejects(locateModel("org/tiny", failing), reason);
  const config = { model: "org/tiny", data: [{ text: "x" }] };
  const failed: unknown = await evaluate(config, failing).catch((error: unknown) => error);
  t.equal(failed, reason, "evaluate() rejects with what was thrown");
});

t.test("which files of a data set", async (t) => {
  const choose = (paths: string[], path?: string, role: "train" | "eval" = "train"): string[] => {
    const files = paths.map((path) => ({ path, size: 1, oid: "0" }));
    const reference = { type: "dataset", name: "o/d", revision: "main", path } as const;
    return chooseRowFiles(files, reference, role).map(({ path }) => path);
  };
  const shards = ["data/train-00001.parquet", "data/train-00000.parquet", "data/test-0.parquet"];
  t.same(choose(shards), ["data/train-00000.parquet", "data/train-00001.parquet"]);
  t.same(choose(shards, "data/test-*"), ["data/test-0.parquet"]);
  t.same(choose([...shards, "dev.jsonl"], undefined, "eval"), ["dev.jsonl"]);
  t.same(choose(["constraint.csv", "train.csv", "train.jsonl"]), ["train.jsonl"]);
  const two = ["cola/train-0.parquet", "sst2/train-0.parquet", "sst2/validation-0.parquet"];
  t.same(choose(two, "sst2", "eval"), ["sst2/validation-0.parquet"]);
  t.same(choose(["en/train/0.csv", "en/train/1.csv", "fr/train/0.csv"], "en"), [
    "en/train/0.csv",
    "en/train/1.csv",
  ]);
  const fault = (message: RegExp) => ({ code: "ZO2_INVALID_DATA", message });
  t.throws(() => choose(two), fault(/several data sets: cola, sst2.*hf:\/\/datasets\/o\/d\/cola/));
  t.throws(() => choose(shards, undefined, "eval"), fault(/validation, valid.*data\/test-0/));
  t.throws(() => choose(["README.md"]), fault(/there are none/));
  t.throws(() => choose(shards, "data/dev.csv"), fault(/no such files/));
});

t.test("rows of several files follow each other", async (t) => {
  const files = { "data/train-0.jsonl": '{"a":1}\n\n{"a":2}\n', "data/train-1.jsonl": '{"a":3}\n' };
  const rows: Repository = { type: "dataset", name: "org/rows", files };
  const hub = await hubOf(t, rows);
  const located = await locateRows("org/rows", "train", {});
  t.match(located, { name: "org/rows", files: { length: 2 } });
  t.same(await rowsOf(located), [
    { line: 1, row: { a: 1 } },
    { line: 3, row: { a: 2 } },
    { line: 4, row: { a: 3 } },
  ]);
  await hub.stop();
  t.same(await locateRows("org/rows", "train", {}), located, "without network");
  t.equal(await locateRows("rows/train.jsonl", "train", {}), "rows/train.jsonl");
});

t.test("train() on names alone", async (t) => {
  const files = Object.fromEntries(
    readdirSync("models/reviews-tiny").map((name) => [
      name,
      readFileSync(join("models/reviews-tiny", name)),
    ]),
  );
  const lines = (name: string): string =>
    readFileSync(`data/reviews/${name}.jsonl`, "utf8").split("\n").slice(0, 8).join("\n");
  const rows = { "train.jsonl": lines("train"), "dev.jsonl": lines("dev") };
  const hub = await hubOf(
    t,
    { type: "model", name: "org/tiny", files },
    { type: "dataset", name: "org/reviews", files: rows },
  );
  const output = join(t.testdir(), "run");
  const events: TrainEvent[] = [];
  const data = { train: "org/reviews", eval: "org/reviews", task: "sst2" };
  const config = { model: "org/tiny", data, steps: 2, batchSize: 2, output };
  const result = await train(config, { onEvent: (event) => events.push(event) });
  t.match(result, { step: 2, evaluation: { loss: Number } });
  const told = events.filter(({ event }) => event === "download") as DownloadEvent[];
  t.same(new Set(told.map(({ source }) => source)), new Set(["org/tiny", "org/reviews"]));
  t.match(
    events.find(({ event }) => event === "data"),
    { source: "org/reviews", rows: 8 },
  );
  const home = process.env.HF_HOME;
  process.env.HF_HOME = join(t.testdirName, "empty");
  const reason = new Zo2Error("ZO2_BUSY", "enough");
  const asked = { run: output, data: [{ sentence: "x", label: 0 }] };
  const failed: unknown = await evaluate(asked, {
    onDownload: () => {
      throw reason;
    },
  }).catch((error: unknown) => error);
  t.equal(failed, reason, "an error of our own class stays the user's");
  process.env.HF_HOME = home;
  await hub.stop();
  t.match(await train({ ...config, steps: 3 }), { step: 3, resumedFrom: 2 }, "resumed offline");
});
