// However a process or worker ends, in whatever state the engine is, Node is never aborted.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import t, { type Test } from "tap";
import { states } from "./states.js";

t.setTimeout(300_000);

const scenario = join(".test-dist", "teardown", "scenario.js");

function ends(t: Test, ...args: string[]): void {
  // One that never gets to its state would outlive this test.
  const limits = { timeout: 120_000, killSignal: "SIGKILL" } as const;
  const command = ["--expose-gc", scenario, ...args];
  const run = spawnSync(process.execPath, command, { encoding: "utf8", ...limits });
  t.equal(run.signal, null, `${args.join(", ")}: no signal; ${run.stderr}`);
  t.equal(run.status, 7, `${args.join(", ")}: the exit code that was asked for; ${run.stderr}`);
}

const ways = {
  exit: "process.exit()",
  worker: "a worker that is terminated",
};
for (const [way, name] of Object.entries(ways)) {
  t.test(name, (t) => {
    for (const state of states) ends(t, way, state);
    t.end();
  });
}

t.test("an event callback that throws null", (t) => {
  ends(t, "throw", "training", join(t.testdir(), "run"));
  t.end();
});

t.test("engines that are collected without close()", (t) => {
  for (let round = 0; round < 3; round++) ends(t, "collect");
  t.end();
});
