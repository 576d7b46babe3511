// Design rules 2 and 3: known answers, the same bits from every instruction set, the distribution.
// Statistical bounds are 5 standard errors on fixed seeds: nothing here passes or fails by chance.
import t from "tap";
import { type Distribution, native } from "../../dist/native.js";
import { firstDifference } from "../golden/compare.js";
import { randomBits } from "./runs.js";
import * as statistics from "./statistics.js";

t.setTimeout(180_000); // of the whole file, for runs without .taprc

const { isas } = native.doctor();

function normals(seed: number, tensor: number, row: number, count: number, direction = 0) {
  return native.normals(seed, tensor, row, 0, count, direction, "gaussian", "auto");
}

t.test("Philox4x32-10: known answers of Random123", async (t) => {
  const hex = (text: string): Uint32Array =>
    Uint32Array.from(text.split(" "), (word) => Number.parseInt(word, 16));
  const ones = "ffffffff";
  const answers = [
    ["0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [`${ones} ${ones} ${ones} ${ones}`, `${ones} ${ones}`, "408f276d 41c83b0e a20bc7c6 6d5451fd"],
    [
      "243f6a88 85a308d3 13198a2e 03707344",
      "a4093822 299f31d0",
      "d16cfe09 94fdcceb 5001e420 24126ea1",
    ],
  ] as const;
  for (const [counter, key, words] of answers)
    t.strictSame(native.philox(hex(counter), hex(key)), hex(words), counter);
});

t.test("every instruction set gives the bits of v2", async (t) => {
  const seed = Number(process.env["ZO2_TEST_SEED"] ?? Date.now() % 2 ** 32);
  t.comment(`ZO2_TEST_SEED=${seed}`);
  const random = randomBits(seed);
  t.ok(isas.includes("v2"), "v2 is always there");
  const wrong: string[] = [];
  for (let i = 0; i < 3000; i++) {
    const distribution: Distribution = i % 2 ? "gaussian" : "rademacher";
    const key = i % 3 ? (random() % 2 ** 21) * 2 ** 32 + random() : random() % 5;
    const small = i % 5 < 3;
    const tensor = small ? random() % 400 : random();
    const row = small ? random() % 5000 : random();
    const column = random() % (small ? 300 : 2 ** 31);
    const count = random() % 700;
    const direction = random() % (small ? 4 : 2 ** 24);
    const at = [key, tensor, row, column, count, direction, distribution] as const;
    const expected = native.normals(...at, "v2");
    if (expected.length !== count) wrong.push(`${at}: ${expected.length} elements`);
    for (const isa of [...isas, "auto"]) {
      const differs = firstDifference(native.normals(...at, isa), expected);
      if (differs !== -1) wrong.push(`${isa} differs from v2 at element ${differs} of ${at}`);
    }
  }
  t.strictSame(wrong, [], `${isas.join(", ")}: 3000 ranges`);
});

t.test("an element depends on its place, not on the range it is asked in", async (t) => {
  const random = randomBits(77);
  for (const distribution of ["gaussian", "rademacher"] as const) {
    const wrong: string[] = [];
    const all = native.normals(2 ** 52 + 3, 5, 9, 0, 4096, 2, distribution, "auto");
    for (let i = 0; i < 2000; i++) {
      const column = random() % 4096;
      const count = random() % (4097 - column);
      const part = native.normals(2 ** 52 + 3, 5, 9, column, count, 2, distribution, "auto");
      const at = firstDifference(part, all.subarray(column, column + count));
      if (at !== -1) wrong.push(`columns ${column} + ${count} differ at ${at}`);
    }
    t.strictSame(wrong, [], distribution);
  }
});

/** Words of the counter rule 2 gives a group of columns. */
function wordsOf(seed: number, tensor: number, row: number, group: number, direction: number) {
  const counter = Uint32Array.of(group, row, tensor, direction);
  return native.philox(counter, Uint32Array.of(seed % 2 ** 32, Math.floor(seed / 2 ** 32)));
}

t.test("normals are within 4 ulp of fp64 Box-Muller of rule 2's words", async (t) => {
  let worst = 0;
  for (const [seed, tensor, row, direction] of [
    [0, 0, 0, 0],
    [2 ** 53 - 1, 7, 123, 1],
    [2 ** 40 + 12345, 3000000000, 4000000000, 2 ** 24 - 1],
    [1, 2, 3, 4],
  ] as const) {
    const groups = 100_000;
    const z = normals(seed, tensor, row, 4 * groups, direction);
    for (let group = 0; group < groups; group++) {
      const x = wordsOf(seed, tensor, row, group, direction);
      const [x0 = 0, x1 = 0, x2 = 0, x3 = 0] = x;
      const exact = [...statistics.boxMuller64(x0, x1), ...statistics.boxMuller64(x2, x3)];
      for (const [i, value] of exact.entries())
        worst = Math.max(worst, statistics.ulps(z[4 * group + i] ?? NaN, value));
    }
  }
  t.ok(worst <= 4, `worst of 1.6 million: ${worst.toFixed(2)} ulp`);
});

t.test("Rademacher signs are the bits of rule 3's words", async (t) => {
  for (const [seed, tensor, row, direction] of [
    [0, 0, 0, 0],
    [2 ** 45 + 9, 31, 77, 3],
  ] as const) {
    const z = native.normals(seed, tensor, row, 0, 12800, direction, "rademacher", "auto");
    const wrong = z.findIndex((value, column) => {
      const x = wordsOf(seed, tensor, row, Math.floor(column / 128), direction);
      const bit = ((x[Math.floor((column % 128) / 32)] ?? 0) >>> (column % 32)) & 1;
      return value !== (bit ? 1 : -1);
    });
    t.equal(wrong, -1);
  }
});

t.test("moments and Kolmogorov-Smirnov of 2^21 draws", async (t) => {
  for (const seed of [0, 1, 2 ** 32, 2 ** 53 - 1]) {
    const z = normals(seed, seed % 7, seed % 11, 2 ** 21);
    for (const [name, error] of Object.entries(statistics.momentErrors(z)))
      t.ok(Math.abs(error) < 5, `seed ${seed}: ${name} ${error.toFixed(2)} standard errors`);
    const distance = statistics.kolmogorovSmirnov(z);
    t.ok(distance < 2.4, `seed ${seed}: KS ${distance.toFixed(2)} (2.4 is exceeded once in 50000)`);
  }
});

t.test("down a column of a matrix, as across a row", async (t) => {
  const z = new Float32Array(2 ** 18);
  for (let row = 0; row < z.length; row += 4) {
    const from = normals(99, 4, row / 4, 4);
    z.set(from, row);
  }
  for (const [name, error] of Object.entries(statistics.momentErrors(z)))
    t.ok(Math.abs(error) < 5, `${name} ${error.toFixed(2)} standard errors`);
  t.ok(statistics.kolmogorovSmirnov(z) < 2.4);
});

t.test("tails of 2^24 draws", async (t) => {
  const counts: Record<number, number> = { 3: 0, 4: 0, 5: 0 };
  const chunk = 2 ** 22;
  let largest = 0;
  for (let row = 0; row < 4; row++) {
    const z = normals(123456789, 1, row, chunk);
    for (const sigma of [3, 4, 5])
      counts[sigma] = (counts[sigma] ?? 0) + statistics.countBeyond(z, sigma);
    for (const x of z) largest = Math.max(largest, Math.abs(x));
  }
  for (const [sigma, count] of Object.entries(counts)) {
    const expected = 4 * chunk * 2 * statistics.normalCdf(-Number(sigma));
    const error = (count - expected) / Math.sqrt(expected);
    t.ok(Math.abs(error) < 5, `${count} beyond ${sigma} sigma, ${expected.toFixed(1)} expected`);
  }
  t.ok(largest <= Math.sqrt(48 * Math.LN2), `the largest possible is 5.77; drawn: ${largest}`);
});

const base = { seed: 2 ** 33 + 5, tensor: 3, row: 17, direction: 0 };
const neighbours: Record<string, Partial<typeof base>> = {
  "the next seed": { seed: base.seed + 1 },
  "a seed with the same low word": { seed: base.seed + 2 ** 32 },
  "a seed with one high bit more": { seed: base.seed + 2 ** 52 },
  "the next tensor": { tensor: 4 },
  "a far tensor": { tensor: 3 + 2 ** 16 },
  "the next row": { row: 18 },
  "a far row": { row: 17 + 2 ** 20 },
  "the next direction": { direction: 1 },
  "row and tensor exchanged": { row: 3, tensor: 17 },
};

for (const distribution of ["gaussian", "rademacher"] as const) {
  const n = 2 ** 18;
  const stream = (of: Partial<typeof base>): Float32Array => {
    const { seed, tensor, row, direction } = { ...base, ...of };
    return native.normals(seed, tensor, row, 0, n, direction, distribution, "auto");
  };
  t.test(`streams do not correlate: ${distribution}`, async (t) => {
    const first = stream({});
    const check = (what: string, error: number): void => {
      t.ok(Math.abs(error) < 5, `${what}: ${error.toFixed(2)} standard errors`);
    };
    for (const [name, of] of Object.entries(neighbours)) {
      const other = stream(of);
      check(name, statistics.correlation(first, other));
      for (const lag of [1, 4])
        check(`${name}, lag ${lag}`, statistics.correlation(first, other, lag));
      if (distribution === "gaussian")
        check(`${name}, magnitudes`, statistics.magnitudeCorrelation(first, other));
    }
    for (const lag of [1, 2, 3, 4, 5, 8, 32, 128, 256]) {
      check(`neighbours, lag ${lag}`, statistics.correlation(first, first, lag));
      if (distribution === "gaussian")
        check(
          `neighbours' magnitudes, lag ${lag}`,
          statistics.magnitudeCorrelation(first, first, lag),
        );
    }
  });
}

t.test("Rademacher signs are balanced, whole and by place in the counter", async (t) => {
  const n = 2 ** 22;
  const z = native.normals(31415926535, 2, 5, 0, n, 0, "rademacher", "auto");
  t.ok(z.every((x) => x === 1 || x === -1));
  const places = new Float64Array(128);
  let total = 0;
  for (const [i, x] of z.entries()) {
    total += x;
    places[i % 128] = (places[i % 128] ?? 0) + x;
  }
  t.ok(Math.abs(total) / Math.sqrt(n) < 5, `balance ${total} of ${n}`);
  const worst = places.reduce((most, sum) => Math.max(most, Math.abs(sum)), 0);
  t.ok(worst / Math.sqrt(n / 128) < 5, `worst place ${worst} of ${n / 128}`);
});
