// What this machine's CPU and disk do in a second: the figures that plans for "cpu" are made with.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromIo, fromNative } from "./errors.js";
import { native } from "./native.js";
import type { CpuFigures } from "./native-plan.js";

const giga = 1e9;
/** The product that is timed: tokens of each of two branches, inputs, outputs. Between those of small and of large models. */
const product = { tokens: 128, in: 1024, out: 2048 };
/** Of each of its weights: for the update of the step before, and for the perturbation. */
const draws = 2;
const turns = 31;
const floats = 2 ** 24;
const diskMebibytes = 256;

function fastest(seconds: Float64Array): number {
  return Math.min(...seconds);
}

function median(values: readonly number[]): number {
  return Float64Array.from(values).sort()[values.length >> 1] ?? Number.NaN;
}

function inNewDirectory<T>(parent: string, body: (path: string) => T): T {
  let path: string;
  try {
    path = mkdtempSync(join(parent, "zo2-disk-"));
  } catch (error) {
    throw fromIo(error, "make a directory in", parent);
  }
  try {
    return body(path);
  } catch (error) {
    throw fromNative(error);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

/** Seconds of the product without noise, and those that noise adds: in turns, since other tenants come and go. */
function productAndNoise(measure: (noise: "none" | "gaussian") => number): [number, number] {
  const seconds = Array.from(
    { length: turns },
    () => [measure("none"), measure("gaussian")] as const,
  );
  // What is typical, as steps will meet those tenants too.
  const [plain, all] = [
    median(seconds.map((pair) => pair[0])),
    median(seconds.map((pair) => pair[1])),
  ];
  // On a busy machine the difference can come out as nothing, or less: a rate has to be finite and positive.
  return [plain, Math.max(all - plain, all / 20)];
}

/**
 * Measures for about five seconds; the machine should be idle.
 * @param directory on the disk that weights would be on
 * @throws Zo2Error ZO2_IO
 */
export function measureCpu(directory: string = tmpdir()): CpuFigures {
  const common = { threads: native.doctor().cores, isa: "auto", repeats: 3 };
  const [plain, noise] = productAndNoise((noise) =>
    fastest(native.measure({ ...common, what: "linear", ...product, noise, repeats: 1 })),
  );
  const copy = fastest(native.measure({ ...common, what: "copy", noise: "none", count: floats }));
  const disk = inNewDirectory(directory, (path) =>
    native.measure({ ...common, what: "disk", noise: "none", count: diskMebibytes, path }),
  );
  const [write = 1, read = 1, both = 1, lost = 0] = disk;
  const bytes = diskMebibytes * 2 ** 20;
  return {
    gflops: (2 * 2 * product.tokens * product.in * product.out) / plain / giga,
    memoryGbps: (2 * 4 * floats) / copy / giga,
    gnormals: (draws * product.in * product.out) / noise / giga,
    diskReadGbps: bytes / read / giga,
    diskWriteGbps: bytes / write / giga,
    diskTotalGbps: (2 * bytes) / both / giga,
    diskComputeGbps: lost > 0 ? (2 * bytes) / lost / giga : 0,
  };
}
