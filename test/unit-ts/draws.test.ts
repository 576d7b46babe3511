// Rows drawn by a seed: NumPy's permutations, MeZO's splits, demonstrations before rows.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { JsonRow } from "zo2";
import type { ResolvedData } from "../../dist/config/types.js";
import { type DemonstrationRequest, drawContexts } from "../../dist/data/demonstrations.js";
import { countRows, drawnPart, evalPart, type Part, trainPart } from "../../dist/data/draw.js";
import { loadData } from "../../dist/data/load.js";
import { MersenneTwister, permutation } from "../../dist/data/mersenne-twister.js";
import { charEncoder, makeTask } from "../support/char-encoder.js";

t.test("numpy.random.RandomState", (t) => {
  t.same(permutation(6, 0), [5, 2, 1, 3, 0, 4]);
  t.same(permutation(13, 42).slice(0, 6), [11, 9, 0, 8, 5, 2]);
  t.same(permutation(5, 4_294_967_295), [4, 1, 0, 2, 3]);
  const long = permutation(1500, 0);
  t.same(
    [long.slice(0, 6), long.slice(-3)],
    [
      [471, 9, 1499, 54, 1411, 1157],
      [1216, 559, 684],
    ],
  );
  t.equal(
    long.reduce((sum, value, i) => sum + ((value * i) % 1_000_003), 0),
    530_472_704,
  );
  t.same([permutation(0, 1), permutation(1, 1)], [[], [0]]);
  const draw = (seed: number, count: number): number[] => {
    const random = new MersenneTwister(seed);
    return Array.from({ length: count }, () => random.integer(9999));
  };
  t.same(draw(7, 6), [9412, 537, 5699, 4307, 919, 1372]);
  t.same(draw(0, 1000).slice(-3), [1681, 3047, 797]);
  t.end();
});

/** Positions that a part draws of so many rows. */
const drawn = (part: Part | undefined, total: number): readonly number[] =>
  part?.draw?.(total) ?? [];

t.test("rows to train on, to choose by and to test on", (t) => {
  const data = (given: Partial<ResolvedData>) =>
    ({ train: "t.jsonl", ...given }) as unknown as ResolvedData;
  const whole = data({ eval: "e.jsonl" });
  t.same(trainPart(whole), { source: "t.jsonl", role: "train", draw: undefined });
  t.same(evalPart(whole), { source: "e.jsonl" });
  t.equal(evalPart(data({})), undefined);
  const both = data({ numTrain: 3, numDev: 2, drawSeed: 0 });
  t.same(drawn(trainPart(both), 6), [5, 2, 1]);
  t.same(drawn(evalPart(both), 6), [3, 0]);
  t.same(drawn(trainPart({ ...both, drawSeed: undefined }), 6), [5, 2, 1], "seed 0 by default");
  const most = data({ numTrain: 1000, numDev: 2 });
  t.same(drawn(trainPart(most), 6), [5, 2, 1, 3], "too few rows: those to choose by come first");
  t.same(drawn(evalPart(most), 6), [0, 4]);
  t.same(drawn(trainPart(data({ numDev: 1 })), 6), [5, 2, 1, 3, 0]);
  t.same(drawn(evalPart(data({ numDev: 1 })), 6), [4]);
  t.same(drawn(trainPart(data({ numTrain: 2 })), 6), [5, 2]);
  t.throws(() => drawn(trainPart(data({ numDev: 6 })), 6), {
    code: "ZO2_INVALID_DATA",
    message: "data.numDev is 6, but t.jsonl has 6 rows: none is left to train on",
  });
  t.same(drawn(drawnPart("x", 2, 0), 6), [5, 2]);
  t.same(drawn(drawnPart("x", 20, 0), 6).length, 6);
  t.equal(drawnPart("x", undefined, 0).draw, undefined);
  t.end();
});

const rows: JsonRow[] = Array.from("abcdef", (s, i) => ({ sentence: s, label: i % 2 }));

t.test("only drawn rows are looked at", async (t) => {
  const file = join(t.testdir(), "rows.jsonl");
  const lines = rows.map((row) => JSON.stringify(row));
  lines[0] = "broken";
  lines[3] = '{"sentence":"d","label":2}';
  writeFileSync(file, `${lines.join("\n\n")}\n`);
  t.equal(await countRows(file), 6, "unusable rows count, empty lines do not");
  const task = makeTask({ task: "sst2" });
  const request = { task, encoder: async () => charEncoder(), limits };
  const indices: number[] = [];
  const loaded = await loadData({
    ...request,
    source: file,
    draw: () => [5, 3, 1],
    change: (example, index) => {
      indices.push(index);
      return example;
    },
  });
  t.same(loaded.lines, [3, 11], "in the order of the file");
  t.same(indices, [2, 0], "known by their place in the drawing");
  t.match(loaded.report, { rows: 2, unusable: 1, problems: [{ line: 7 }] });
  await t.rejects(countRows("/dev/null"), { code: "ZO2_INVALID_CONFIG", message: /read twice/ });
  await t.rejects(countRows("none.jsonl"), { code: "ZO2_IO", message: /none.jsonl/ });
});
const limits = { maxLength: 100, vocabSize: 200_000 };

t.test("demonstrations", async (t) => {
  const task = makeTask({ task: "sst2" });
  const request: DemonstrationRequest = {
    source: rows,
    task,
    shots: 2,
    seed: 0,
    perRow: false,
    rows: 3,
  };
  const demonstration = (i: number): string =>
    `${rows[i]?.sentence} It was ${i % 2 ? "great" : "terrible"}\n\n`;
  const same = await drawContexts(request);
  t.equal(same(0), demonstration(5) + demonstration(2), "drawn by the seed, in that order");
  t.equal(same(2), same(0));
  const own = await drawContexts({ ...request, perRow: true });
  t.same(
    [own(0), own(1), own(2)],
    [
      [3, 5],
      [3, 0],
      [1, 4],
    ].map((set) => set.map(demonstration).join("")),
    "each row has a seed of its own, drawn by the seed",
  );
  const rejects = (change: object, message: RegExp) =>
    t.rejects(drawContexts({ ...request, ...change }), { code: "ZO2_INVALID_DATA", message });
  await rejects({ shots: 7 }, /shots is 7, but demonstrations has 6 rows/);
  await rejects({ shots: 6, source: [...rows.slice(1), { sentence: "x" }] }, /:6: field "label"/);
  const ids = { ...task, example: () => ({ prompt: [1], options: ["a", "b"], label: 0 }) };
  await rejects({ task: ids }, /made of token ids/);
  const signal = AbortSignal.abort(new Error("enough"));
  await t.rejects(drawContexts({ ...request, perRow: true, signal }), { message: "enough" });
});
