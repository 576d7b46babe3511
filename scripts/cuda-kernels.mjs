// What nvcc makes of the CUDA kernels, for every GPU that releases are built for:
//   node scripts/cuda-kernels.mjs            checks it
//   node scripts/cuda-kernels.mjs --update   writes csrc/backends/cuda/budget.json anew
// - registers and shared memory of every kernel are within the committed budget, nothing spills;
// - noise and updates have no fused, approximate or flushing instruction in their PTX: their bits are the CPU's;
// - products run on tensor cores.
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";

const architectures = [80, 86, 89, 90, 100, 120];
const exact = ["prepare", "embed", "scales"];
const onTensorCores = "product";
const inexact = /^\s.*(\bfma\.|\.approx\b|\.ftz\b).*$/m;

const root = join(import.meta.dirname, "..");
const folder = join(root, "csrc/backends/cuda/kernels");
const budgetFile = join(root, "csrc/backends/cuda/budget.json");
const kernels = readdirSync(folder)
  .filter((file) => file.endsWith(".cu"))
  .map((file) => basename(file, ".cu"));
const run = promisify(execFile);
const failures = [];

if (spawnSync("nvcc", ["--version"]).error) {
  console.log("skipped  CUDA kernels: there is no nvcc");
  process.exit(0);
}

const flags = ["-std=c++20", "-O3", "-fmad=false", `-I${join(root, "csrc")}`];
const large = { maxBuffer: 1 << 28 };

/** @returns {Promise<string>} what the compiler says */
async function compile(name, architecture, kind, out) {
  const target =
    kind === "ptx"
      ? ["-ptx", `-arch=compute_${architecture}`]
      : ["-cubin", `-arch=sm_${architecture}`];
  const source = join(folder, `${name}.cu`);
  const { stderr } = await run(
    "nvcc",
    [...flags, "-Xptxas=-v", ...target, source, "-o", out],
    large,
  );
  return stderr;
}

const named = kernels.flatMap((file) =>
  [...readFileSync(join(folder, `${file}.cu`), "utf8").matchAll(/\b\w+_kernel(?=\()/g)].map(
    ([name]) => name,
  ),
);

/** Of `Rule` in kernels/updates.h. */
const rules = ["", ", low rank", ", moments"];

/** "product_kernel": of the mangled name of any of its instances; rules of updates, and a prefix, have budgets of their own. */
function kernelName(mangled) {
  const name = named.find((each) => mangled.includes(`${each.length}${each}`));
  if (!name) throw new Error(`no kernel's name: ${mangled}`);
  if (name === "attention_kernel" && mangled.includes("Lb1E")) return `${name}, prefix`;
  const [, rule = "0"] = /4RuleE(\d)E/.exec(mangled) ?? [];
  return name + rules[rule];
}

/** Largest needs of each kernel among its instances. */
function needs(report) {
  const found = {};
  for (const [, mangled, body] of report.matchAll(
    /Compiling entry function '(\w+)'([\s\S]*?)(?=Compile time)/g,
  )) {
    const number = (pattern) => Number(body.match(pattern)?.[1] ?? 0);
    const one = {
      registers: number(/Used (\d+) registers/),
      shared: number(/(\d+) bytes smem/),
      spilled: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
    };
    const name = kernelName(mangled);
    found[name] ??= { registers: 0, shared: 0, spilled: 0 };
    for (const key of Object.keys(one)) found[name][key] = Math.max(found[name][key], one[key]);
  }
  return found;
}

function cuobjdump() {
  const inVenv = spawnSync(
    join(root, ".venv/bin/python"),
    [
      "-c",
      "import nvidia, pathlib; print(*pathlib.Path(list(nvidia.__path__)[0]).glob('*/bin/cuobjdump'))",
    ],
    { encoding: "utf8" },
  );
  const path = inVenv.stdout?.trim() || "cuobjdump";
  return spawnSync(path, ["--version"]).error ? undefined : path;
}

/** cuobjdump runs nvdisasm, which lies beside it in Python's packages. */
function disassembling(disassembler) {
  return { ...process.env, PATH: `${dirname(disassembler)}:${process.env.PATH}` };
}

async function checkOne(work, name, architecture, disassembler) {
  const out = join(work, `${name}.${architecture}.cubin`);
  const found = needs(await compile(name, architecture, "cubin", out));
  if (name === onTensorCores && disassembler) {
    const { stdout } = await run(disassembler, ["-sass", out], {
      ...large,
      env: disassembling(disassembler),
    });
    if (!/\bHMMA\./.test(stdout)) failures.push(`${name}, sm_${architecture}: no tensor core`);
  }
  return { architecture, found };
}

async function checkExact(work, name) {
  const out = join(work, `${name}.ptx`);
  await compile(name, architectures[0], "ptx", out);
  const line = readFileSync(out, "utf8").match(inexact);
  if (line) failures.push(`${name}: its PTX has ${line[0].trim()}`);
}

/** All jobs, some at a time. */
async function inTurns(jobs, atOnce) {
  const results = [];
  const worker = async () => {
    for (let job = jobs.shift(); job; job = jobs.shift()) results.push(await job());
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}

function compare(measured, budget) {
  for (const [architecture, kernels] of Object.entries(measured)) {
    for (const [name, { registers, shared, spilled }] of Object.entries(kernels)) {
      const most = budget[architecture]?.[name];
      const what = `${name}, ${architecture}:`;
      if (spilled > 0) failures.push(`${what} ${spilled} bytes of registers are spilled`);
      if (!most) failures.push(`${what} not in budget.json`);
      else if (registers > most.registers || shared > most.shared) {
        failures.push(
          `${what} ${registers} registers, ${shared} bytes of shared memory; ` +
            `the budget is ${most.registers} and ${most.shared}`,
        );
      }
    }
  }
}

const work = mkdtempSync(join(tmpdir(), "zo2-cuda-"));
try {
  const disassembler = cuobjdump();
  if (!disassembler) console.log("no cuobjdump (scripts/python-env.sh): tensor cores unchecked");
  // The longest first.
  const names = kernels.sort((a, b) => Number(b === "attention") - Number(a === "attention"));
  const jobs = names.flatMap((name) =>
    architectures.map((each) => () => checkOne(work, name, each, disassembler)),
  );
  const done = await inTurns(jobs, availableParallelism());
  await Promise.all(exact.map((name) => checkExact(work, name)));
  const measured = {};
  for (const each of architectures) {
    const found = done.filter(({ architecture }) => architecture === each);
    const sorted = Object.entries(Object.assign({}, ...found.map((one) => one.found))).sort();
    measured[`sm_${each}`] = Object.fromEntries(sorted);
  }
  if (process.argv.includes("--update")) {
    const kept = JSON.stringify(
      measured,
      (key, value) => (key === "spilled" ? undefined : value),
      2,
    );
    writeFileSync(budgetFile, `${kept}\n`);
  }
  compare(measured, existsSync(budgetFile) ? JSON.parse(readFileSync(budgetFile, "utf8")) : {});
} finally {
  rmSync(work, { recursive: true, force: true });
}
for (const failure of failures) console.log(`FAILED  ${failure}`);
if (failures.length > 0) process.exit(1);
console.log(`ok  ${kernels.length} files of CUDA kernels for sm_${architectures.join(", ")}`);
