// Trainings in processes of their own, so that their memory and CPU time are theirs alone, and one can be stopped while
// another is measured.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";

const root = join(import.meta.dirname, "..");
const program = `
  import { train } from "zo2";
  const onStep = ({ elapsedMs: ms }) => {
    const { user, system } = process.cpuUsage();
    const peakBytes = 1024 * process.resourceUsage().maxRSS;
    console.log(JSON.stringify({ ms, cpuMs: (user + system) / 1000, peakBytes }));
  };
  await train(JSON.parse(process.argv[1]), { onStep });
`;

/**
 * Starts one.
 * @returns its process; its steps so far: milliseconds of each, CPU time of the process up to its end, peak of resident
 *   memory; and a promise of its end, rejected if it fails
 */
export function startTraining(config) {
  const args = ["--input-type=module", "-e", program, JSON.stringify(config)];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const steps = [];
  let said = "";
  child.stderr.on("data", (text) => {
    said += text;
  });
  createInterface({ input: child.stdout }).on("line", (line) => steps.push(JSON.parse(line)));
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0 || signal === "SIGKILL") return resolve();
      reject(new Error(`a training ended with ${code ?? signal}: ${said}`));
    });
  });
  return { child, steps, ended };
}

/** Milliseconds of each of some steps and CPU time of one; the first step is only where they begin. */
export function spent(steps) {
  const ms = steps.slice(1).map((step) => step.ms);
  return { ms, cpuMs: (steps.at(-1).cpuMs - steps[0].cpuMs) / ms.length };
}

/**
 * Trainings that take turns, the others being stopped meanwhile.
 * @param configs by name; with more steps than will be taken
 * @param options.count steps of a turn; the one that the turn begins within is not counted
 * @param options.warmUp steps of each before the first turn
 * @param options.before called with the name before every turn, while all are stopped; returns a function for what the
 *   turn is told of besides
 * @returns the turns of each, by name
 */
export async function inTurns(configs, { turns, count, warmUp, before }) {
  const names = Object.keys(configs);
  const running = names.map((name) => ({ name, ...startTraining(configs[name]), turns: [] }));
  const take = async ({ child, steps, ended }, more) => {
    const first = steps.length;
    const over = ended.then(() => true);
    child.kill("SIGCONT");
    while (steps.length < first + more) {
      if (await Promise.race([over, setTimeout(5, false)]))
        throw new Error("a training ended before its last turn");
    }
    child.kill("SIGSTOP");
    return steps.slice(first, first + more);
  };
  try {
    for (const each of running) each.child.kill("SIGSTOP");
    for (const each of running) await take(each, warmUp);
    for (let turn = 0; turn < turns; turn++) {
      for (const each of running) {
        const after = before(each.name);
        const taken = await take(each, count + 1);
        each.turns.push({ ...spent(taken), ...after() });
      }
    }
  } finally {
    for (const { child } of running) child.kill("SIGKILL");
    await Promise.allSettled(running.map(({ ended }) => ended));
  }
  return Object.fromEntries(names.map((name, i) => [name, running[i].turns]));
}
