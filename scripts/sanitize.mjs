// Builds the native tests with sanitizers and runs them: node scripts/sanitize.mjs [address,undefined | thread [part of a case's name]]
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";

const sanitizers = process.argv[2] ?? "address,undefined";
const root = join(import.meta.dirname, "..");
const out = join(root, "build", `sanitize-${sanitizers.replace(",", "-")}`);

function run(command, args, env = {}) {
  const { status } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
}

const options = [`-DZO2_SANITIZE=${sanitizers}`, "-DZO2_TESTS=ON", "-DCMAKE_BUILD_TYPE=Release"];
run("cmake", ["-S", root, "-B", out, ...options]);
const jobs = process.env.JOBS ?? String(availableParallelism());
run("cmake", ["--build", out, "--target", "zo2_native_tests", "--parallel", jobs]);
run(join(out, "test/native/zo2_native_tests"), process.argv.slice(3), {
  // Instrumented code is several times slower; the tests proper do all trials.
  ZO2_TEST_TRIALS: process.env.ZO2_TEST_TRIALS ?? "12",
  // Allocation failures are part of the tests.
  ASAN_OPTIONS: "allocator_may_return_null=1",
  UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1",
  TSAN_OPTIONS: "halt_on_error=1",
});
