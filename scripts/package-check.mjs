// The package as others get it: `npm pack` with a prebuilt addon, installed into an empty project where no compiler is
// on the PATH, trains the bundled model. Checks the addon's size, libraries and glibc besides.
//   node scripts/package-check.mjs
// GPU architectures of the addon: those of ZO2_CUDA_ARCHITECTURES (scripts/build-native.cjs).
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

const root = join(import.meta.dirname, "..");
const mostBytes = 60e6;
const mostGlibc = [2, 34];
const libraries = /^(linux-vdso|ld-linux-x86-64|lib(c|m|dl|rt|pthread|gcc_s)\.so)/;
// What npm and its scripts call; neither compilers nor CMake.
const tools = ["sh", "env", "dirname", "basename", "sed", "uname", "rm", "cp", "mkdir"];

function run(command, args, options = {}) {
  return execFileSync(command, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
    ...options,
  });
}

function demand(holds, text) {
  if (!holds) throw new Error(text);
}

/** The prebuilt addon's size, and what it needs of a system. */
function inspect(addon) {
  const bytes = statSync(addon).size;
  demand(bytes <= mostBytes, `${addon} has ${bytes} bytes, more than ${mostBytes}`);
  const needed = [...run("objdump", ["-p", addon]).matchAll(/NEEDED\s+(\S+)/g)].map((m) => m[1]);
  for (const name of needed) demand(libraries.test(name), `${addon} needs ${name}`);
  const versions = [...run("objdump", ["-T", addon]).matchAll(/GLIBC_(\d+)\.(\d+)/g)];
  for (const [text, major, minor] of versions) {
    const above = Number(major) - mostGlibc[0] || Number(minor) - mostGlibc[1];
    demand(above <= 0, `${addon} needs ${text}, newer than ${mostGlibc.join(".")}`);
  }
  return `${(bytes / 1e6).toFixed(1)} MB, ${needed.join(" ")}`;
}

/** A folder with nothing but what Node, npm and install scripts need. */
function path(work) {
  const bin = join(work, "bin");
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, "node"));
  for (const tool of tools) symlinkSync(run("which", [tool]).trim(), join(bin, tool));
  return bin;
}

const work = mkdtempSync(join(tmpdir(), "zo2-package-"));
const prebuilds = join(root, "prebuilds");
const had = existsSync(prebuilds);
try {
  run("npm", ["run", "--silent", "prebuildify"], { stdio: ["ignore", "ignore", "inherit"] });
  const folder = join(prebuilds, `${process.platform}-${process.arch}`);
  const [file] = readdirSync(folder).filter((name) => name.endsWith(".node"));
  console.log(`addon: ${file}, ${inspect(join(folder, file))}`);
  const [packed] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", work]));
  console.log(`package: ${(packed.size / 1e6).toFixed(1)} MB, ${packed.entryCount} files`);
  const project = join(work, "project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "name": "empty", "private": true }\n');
  const options = { cwd: project, env: { ...process.env, PATH: path(work) } };
  const npm = realpathSync(run("which", ["npm"]).trim());
  const tarball = join(work, basename(packed.filename));
  run("node", [npm, "install", "--no-audit", "--no-fund", tarball], options);
  const installed = join(project, "node_modules/zo2");
  demand(
    !readdirSync(installed).includes("build"),
    "the addon was built, not taken from the package",
  );
  const said = run("node", [join(installed, "dist/examples/reviews.js"), "--json"], options);
  const { accuracyBefore, accuracyAfter } = JSON.parse(said.trim().split("\n").at(-1));
  console.log(`bundled model: ${accuracyBefore} -> ${accuracyAfter}`);
  demand(accuracyAfter - accuracyBefore >= 0.1, "the bundled model must gain 10 points");
  const cli = join(installed, "dist/cli/main.js");
  const [row] = run("node", [cli, "bench", "--suite", "paper", "--no-peers", "--json"], options)
    .split("\n")
    .map((line) => JSON.parse(line || "{}"));
  demand(row.suite === "paper" && existsSync(join(project, "bench-results/paper.md")), "zo2 bench");
} finally {
  rmSync(work, { recursive: true, force: true });
  // A later `npm install` here would take them for the newest.
  if (!had) rmSync(prebuilds, { recursive: true, force: true });
}
