// What the addon's doctor() finds.

export interface NativeGpu {
  name: string;
  computeCapability: string;
  memoryBytes: number;
  /** CUDA version the driver supports. */
  driver: string;
  /** Of the GPU that runs use, where it was tried: GB (10^9 bytes) a second; null where measuring failed. */
  link?: NativeLink | null;
}

/** Of pinned memory: to the GPU, from it, and both ways at once in all; of pageable memory, which runs never copy. */
export interface NativeLink {
  upGbps: number;
  downGbps: number;
  bothGbps: number;
  pageableUpGbps: number;
  pageableDownGbps: number;
}

export interface NativeDoctor {
  version: string;
  isa: string;
  isas: string[];
  cores: number;
  memoryBytes: number;
  /** What CUDA offers; `error` says why there is no device. */
  cuda: {
    built: boolean;
    devices: number;
    gpus: NativeGpu[];
    error: string | null;
    /** Of `schedule.memory` on a GPU, what is left to CUDA's own context. */
    contextBytes: number;
    /** Where cuBLASLt was found, for `matmul: "cublaslt"`; else null, and why. */
    cublasLt: string | null;
    cublasLtError: string | null;
  };
  /** Self-tests run now: name and whether it passed. */
  checks: { name: string; ok: boolean; detail: string }[];
}
