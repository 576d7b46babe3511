// What this machine's CPU and disk do in a second: the figures that plans for "cpu" are made with.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromIo, fromNative } from "./errors.js";
import { native } from "./native.js";
import type { CpuFigures } from "./native-plan.js";

const giga = 1e9;
/** Of the product that is timed: tokens of each of two branches, inputs, outputs. */
const [tokens, inputs, outputs] = [512, 2048, 2048];
const floats = 2 ** 24;
const diskMebibytes = 256;

function fastest(seconds: Float64Array): number {
  return Math.min(...seconds);
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

/**
 * Measures for about five seconds; the machine should be idle.
 * @param directory on the disk that weights would be on
 * @throws Zo2Error ZO2_IO
 */
export function measureCpu(directory: string = tmpdir()): CpuFigures {
  const common = { threads: native.doctor().cores, isa: "auto", repeats: 3 };
  const linear = { what: "linear", in: inputs, out: outputs, tokens } as const;
  const product = fastest(native.measure({ ...common, ...linear, noise: "none" }));
  const noise = fastest(
    native.measure({ ...common, what: "noise", noise: "gaussian", count: floats }),
  );
  const copy = fastest(native.measure({ ...common, what: "copy", noise: "none", count: floats }));
  const disk = inNewDirectory(directory, (path) =>
    native.measure({ ...common, what: "disk", noise: "none", count: diskMebibytes, path }),
  );
  const [write = 1, read = 1, both = 1, lost = 0] = disk;
  const bytes = diskMebibytes * 2 ** 20;
  return {
    gflops: (2 * 2 * tokens * inputs * outputs) / product / giga,
    memoryGbps: (2 * 4 * floats) / copy / giga,
    gnormals: floats / noise / giga,
    diskReadGbps: bytes / read / giga,
    diskWriteGbps: bytes / write / giga,
    diskTotalGbps: (2 * bytes) / both / giga,
    diskComputeGbps: lost > 0 ? (2 * bytes) / lost / giga : 0,
  };
}
