// npm run gpu-check: everything that only a machine with a GPU can show, as one report to attach to an issue:
// gpu-check.md and gpu-check.json in this folder. Nothing of it is needed to use zo2.
//   --quick       two small models instead of the paper's table
//   --emulated    on the emulated GPU of the tests, to see that the check itself works; says so in the report
//   --skip-build  uses what was built
//   --output DIR  for the report
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    emulated: { type: "boolean", default: false },
    "skip-build": { type: "boolean", default: false },
    output: { type: "string", default: "." },
  },
});
const output = resolve(flags.output);
const env = { ...process.env };
if (flags.emulated) env.ZO2_PREBUILD = join(root, "build/cmake/emulated");
// Tests of the backend: on a GPU, or what stands in for it.
const tests = join(
  root,
  "build/cmake/test",
  flags.emulated ? "cuda/zo2_cuda_tests" : "gpu/zo2_gpu_tests",
);
const lastLines = 60;

const sections = [];

/** Adds a part of the report; `ok` false makes the check fail, null says that it was skipped. */
function add(title, ok, text, data) {
  sections.push({ title, ok, text, ...(data !== undefined && { data }) });
  console.log(`${{ true: "ok", false: "FAILED", null: "skipped" }[ok]}  ${title}`);
}

function run(command, args, more = {}) {
  console.log(`... ${[command, ...args].join(" ")}`);
  const options = { cwd: root, encoding: "utf8", maxBuffer: 2 ** 28, env: { ...env, ...more } };
  const { status, stdout, stderr, error } = spawnSync(command, args, options);
  return {
    ok: status === 0,
    stdout: stdout ?? "",
    all: `${stdout ?? ""}${stderr ?? ""}${error ?? ""}`,
  };
}

const tail = (text) => `\`\`\`\n${text.trim().split("\n").slice(-lastLines).join("\n")}\n\`\`\``;

function step(title, command, args, more) {
  const { ok, all } = run(command, args, more);
  add(title, ok, tail(all));
  return ok;
}

function build() {
  if (flags["skip-build"]) return true;
  const kind = flags.emulated ? "--tests" : "--gpu-tests";
  return (
    step("build of the addon and the tests", process.execPath, [
      "scripts/build-native.cjs",
      kind,
    ]) && step("build of the facade", "npm", ["run", "--silent", "build:ts"])
  );
}

/** What `zo2 doctor` says; false where there is no GPU to check. */
function doctor() {
  const { ok, stdout, all } = run(process.execPath, ["dist/cli/main.js", "doctor", "--json"]);
  const report = ok ? JSON.parse(stdout.trim().split("\n").at(-1)) : undefined;
  const gpu = report?.cuda.gpus[0];
  const text = report ? tail(JSON.stringify(report, null, 1)) : tail(all);
  add("zo2 doctor: GPU, driver, link, self-test", ok && Boolean(gpu?.link), text, report);
  if (report && !gpu) console.log(`no GPU: ${report.cuda.error}`);
  return Boolean(gpu?.link);
}

function sanitizers() {
  const sanitizer = run("compute-sanitizer", ["--version"]);
  if (flags.emulated || !sanitizer.ok) {
    const why = flags.emulated ? "not for an emulated GPU" : "no compute-sanitizer on the PATH";
    return add("compute-sanitizer", null, why);
  }
  for (const tool of ["memcheck", "racecheck", "synccheck", "initcheck"]) {
    const args = ["--tool", tool, "--error-exitcode", "1", tests, "cuda:"];
    step(`compute-sanitizer, ${tool}`, "compute-sanitizer", args, { ZO2_TEST_TRIALS: "2" });
  }
}

/** Steps, memory, lanes and link of OPT's shapes: bench/suites/gpu.mjs. */
function steps(matmul) {
  const small = flags.emulated ? ["--shape", "opt-tiny", "--length", "16"] : ["--length", "2048"];
  const args = [
    "bench/main.mjs",
    "--suite",
    "gpu",
    "--matmul",
    matmul,
    "--results",
    output,
    ...small,
  ];
  if (flags.quick) args.push("--quick");
  const file = join(output, "gpu.json");
  rmSync(file, { force: true });
  const { ok, all } = run(process.execPath, args);
  const data = ok && existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
  add(`steps of OPT's shapes, products by ${matmul}`, ok, ok ? all.trim() : tail(all), data);
}

function report() {
  const machine = {
    emulated: flags.emulated,
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.versions.node,
    commit: run("git", ["rev-parse", "HEAD"]).stdout.trim() || null,
    date: new Date().toISOString(),
  };
  const failed = sections.filter(({ ok }) => ok === false).length;
  mkdirSync(output, { recursive: true });
  writeFileSync(
    join(output, "gpu-check.json"),
    JSON.stringify({ machine, failed, sections }, null, 1),
  );
  const mark = { true: "ok", false: "**FAILED**", null: "skipped" };
  const parts = sections.map(({ title, ok, text }) => `## ${title}: ${mark[ok]}\n\n${text}\n`);
  const words = flags.emulated
    ? "**On an emulated GPU: nothing here says anything about speed, or about hardware.**"
    : "On a GPU.";
  const head = `# zo2 gpu-check\n\n${words}\n\n${tail(JSON.stringify(machine, null, 1))}\n`;
  writeFileSync(join(output, "gpu-check.md"), [head, ...parts].join("\n"));
  console.log(
    `${failed} failed; the report is ${join(output, "gpu-check.md")}: please attach it to an issue`,
  );
  return failed;
}

if (build() && doctor()) {
  step("tests of the backend", tests, flags.emulated ? ["cuda: linear"] : []);
  sanitizers();
  steps("zo2");
  const library = sections.find(({ data }) => data?.cuda)?.data.cuda.cublasLt;
  if (library) steps("cublaslt");
  else add("steps with cuBLASLt", null, "cuBLASLt is not found");
}
process.exitCode = report() > 0 ? 1 : 0;
