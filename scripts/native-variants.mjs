// Builds the native tests in another way and runs them:
//   node scripts/native-variants.mjs [address,undefined | thread | arm64] [part of a case's name]
//   node scripts/native-variants.mjs thread cuda    the CUDA backend on the emulated GPU alone
// Sanitizers see that backend too, where CUDA's headers are.
// arm64 cross-compiles and runs under QEMU: Debian's g++-aarch64-linux-gnu and qemu-user-static.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const variant = process.argv[2] ?? "address,undefined";
const root = join(import.meta.dirname, "..");
const out = join(root, "build", `native-${variant.replace(",", "-")}`);
const tests = join(out, "test/native/zo2_native_tests");
const onEmulator = ["zo2_emulator_tests", "zo2_cuda_bugs", "zo2_cuda_tests"];

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
}

const cross = variant === "arm64";
const cases = process.argv.slice(3);
const cudaOnly = cases[0] === "cuda";
const options = cross
  ? [
      "-DCMAKE_SYSTEM_NAME=Linux",
      "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
      "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
      "-DCMAKE_EXE_LINKER_FLAGS=-static",
    ]
  : [`-DZO2_SANITIZE=${variant}`];
run("cmake", [
  "-S",
  root,
  "-B",
  out,
  ...options,
  `-DZO2_BASE_ISA_ONLY=${cudaOnly ? "ON" : "OFF"}`,
  "-DZO2_TESTS=ON",
  "-DCMAKE_BUILD_TYPE=Release",
]);
const jobs = process.env.JOBS ?? String(availableParallelism());
const hasCuda = existsSync(join(out, "test/cuda"));
if (cudaOnly && !hasCuda) {
  console.log("skipped  the emulated GPU: there are no CUDA headers");
  process.exit(0);
}
const withCuda = hasCuda && !cross && (cudaOnly || cases.length === 0);
const targets = [...(cudaOnly ? [] : ["zo2_native_tests"]), ...(withCuda ? onEmulator : [])];
run("cmake", ["--build", out, "--target", ...targets, "--parallel", jobs]);
// Left out unless asked for: QEMU keeps books of every page that the simulator reserves; sanitized, whole
// trainings of every storage type take minutes, and that of f32 goes the same ways.
const chosen = cases.length > 0 ? cases : [cross ? "!sim" : "!streaming: the same"];
const sanitizers = {
  // Several times slower than the tests proper, which do all trials.
  ZO2_TEST_TRIALS: process.env.ZO2_TEST_TRIALS ?? (variant.includes("address") ? "12" : "4"),
  // Allocation failures are part of the tests.
  ASAN_OPTIONS: "allocator_may_return_null=1",
  UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1",
  TSAN_OPTIONS: "halt_on_error=1:memory_limit_mb=6000",
};
if (!cudaOnly) {
  const args = ["--jobs", jobs, ...chosen];
  run(cross ? "qemu-aarch64-static" : tests, cross ? [tests, ...args] : args, sanitizers);
}
if (withCuda) {
  // Losses of many seeds say something about rounding, not about memory; and what types and methods
  // compute, nothing about threads: f32 goes the same ways.
  const leftOut = ["!losses", ...(variant === "thread" ? ["!cuda: the same"] : [])];
  const argsOf = { zo2_cuda_tests: ["--jobs", jobs, ...leftOut] };
  for (const name of onEmulator) run(join(out, "test/cuda", name), argsOf[name] ?? [], sanitizers);
}
