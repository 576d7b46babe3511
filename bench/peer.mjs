// A peer: a Python process that is asked, and answers, one JSON line at a time; idle in between.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

const local = join(import.meta.dirname, "../.venv/bin/python");
const python = process.env.ZO2_PYTHON ?? (existsSync(local) ? local : "python3");

/** Why there is no peer, or undefined. */
export function peerMissing() {
  const needed = "torch, transformers, gguf, accelerate";
  const { status } = spawnSync(python, ["-c", `import ${needed}`]);
  if (status === 0) return undefined;
  return `${python} cannot import ${needed}: run scripts/python-env.sh --full, or set ZO2_PYTHON`;
}

// OpenMP's threads look for more work for a while before they sleep; whoever is timed next would miss a core.
const spinMs = 300;

export class Peer {
  #process;
  #lines;

  constructor(script) {
    const path = join(import.meta.dirname, "peers", script);
    this.#process = spawn(python, [path], { stdio: ["pipe", "pipe", "pipe"] });
    let errors = "";
    this.#process.stderr.on("data", (chunk) => {
      errors = (errors + chunk).slice(-4000);
    });
    this.#process.stdin.on("error", () => {}); // it has ended: the answer will say so
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
    this.errors = () => errors;
  }

  async ask(question) {
    this.#process.stdin.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the peer has ended:\n${this.errors()}`);
    await pause(spinMs);
    return JSON.parse(value);
  }

  async close() {
    this.#process.stdin.end();
    await new Promise((ended) => {
      if (this.#process.exitCode !== null) ended();
      else this.#process.once("exit", ended);
    });
  }
}
