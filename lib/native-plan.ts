// What crosses between the facade and the engine for plans and for measuring what they are made with
// (csrc/napi/plan.cc, measure.cc).
import type { Distribution, NativeLoadOptions, NativeMethodOptions } from "./native.js";

/** An op to time on the CPU. */
export interface NativeMeasureOptions {
  /**
   * "linear": `in` -> `out`, two branches of `tokens` rows; weights updated, written back and perturbed
   * on the way, or as they are (noise "none"). "noise": fills `count` floats; "copy": copies them.
   * "disk": seconds to write and to read a new disk store of `count` MiB (a multiple of 32) in the directory `path`,
   * which is left empty, for half of it twice each at once beside computing, and how many of the last computing lost.
   * "file": the same of a plain file, `path`, which is there.
   */
  what: "linear" | "noise" | "copy" | "disk" | "file";
  noise: "none" | Distribution;
  threads: number;
  /** "auto", or one of doctor().isas */
  isa: string;
  repeats: number;
  in?: number;
  out?: number;
  tokens?: number;
  count?: number;
  path?: string;
}

/** This machine, as measure-cpu.ts measures it: 10^9 a second. */
export interface CpuFigures {
  gflops: number;
  memoryGbps: number;
  /** Gaussian draws. */
  gnormals: number;
  diskReadGbps: number;
  diskWriteGbps: number;
  /** Of both at the same time, while the CPU computes; with checksums, as the others. */
  diskTotalGbps: number;
  /** Bytes from and to files for which I/O threads take a second of compute; 0: they take none. */
  diskComputeGbps: number;
}

export interface NativePlanOptions
  extends NativeMethodOptions,
    Omit<NativeLoadOptions, "path" | "device" | "matmul" | "isa" | "run" | "diskBytes"> {
  /** For messages. */
  name: string;
  /** config.json as text. */
  config: string;
  batchSize: number;
  gradientAccumulationSteps: number;
  length: number;
  roundEvery: number;
  deferredUpdate: boolean;
  /** Name of a device profile, or this machine. */
  profile: string | CpuFigures;
  simulate: boolean;
  trace?: string;
}

type LaneName = "read" | "upload" | "compute" | "offload" | "write" | "gather";
/** What the simulator says of a step in the long run. */
export interface NativePrediction {
  stepMs: number;
  tokensPerSecond: number;
  /** The lane that is busy longest. */
  bound: LaneName;
  /** Busy time and bytes of each lane, per step. */
  laneMs: Record<LaneName, number>;
  laneBytes: Record<LaneName, number>;
  deviceTouchedBytes: number;
  hostTouchedBytes: number;
  /** Accesses that nothing orders: bugs of the schedule. */
  violations: string[];
}
export interface NativePlan {
  parameters: number;
  weightBytes: number;
  devicePeakBytes: number;
  hostPeakBytes: number;
  diskBytes: number;
  /** The smallest `memory` that works. */
  leastMemoryBytes: number;
  uploadBytesPerStep: number;
  offloadBytesPerStep: number;
  diskWriteBytesPerStep: number;
  residentBlocks: number;
  streamedBlocks: number;
  slots: number;
  slotBytes: number;
  extentBytes: number;
  extents: number;
  roundEvery: number;
  /** Time to apply one record to every weight: what a replay takes, per step. */
  replayMsPerStep: number;
  profile: string;
  /** Runs of extents with one home, in the order of a pass; block 0 and the last: embeddings, head. */
  blocks: { block: number; home: "device" | "host" | "disk" }[];
  allocations: { name: string; tier: "device" | "host" | "staging"; bytes: number }[];
  predicted?: NativePrediction;
}
export interface DeviceFigure {
  value: number;
  source: string;
}
export type DeviceProfile = { name: string } & Record<
  | "tflops"
  | "memoryGbps"
  | "gnormals"
  | "uploadGbps"
  | "offloadGbps"
  | "linkDuplexGbps"
  | "memoryGb"
  | "launchUs",
  DeviceFigure
>;
