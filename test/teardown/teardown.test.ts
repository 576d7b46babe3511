// However a process or worker ends while the engine is at work, Node is never aborted.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import t from "tap";

const ways = {
  exit: "process.exit in the middle of training",
  "exit-while-asked": "process.exit while an objective is being waited for",
  throw: "an event callback that throws null",
  worker: "a worker terminated in the middle of training",
  collect: "engines that are collected without close()",
};
const scenario = join(".test-dist", "teardown", "scenario.js");

for (const [mode, name] of Object.entries(ways)) {
  t.test(name, (t) => {
    for (let round = 0; round < 3; round++) {
      const run = spawnSync(process.execPath, ["--expose-gc", scenario, mode], {
        encoding: "utf8",
      });
      t.equal(run.signal, null, `no signal; ${run.stderr}`);
      t.equal(run.status, 7, "the exit code that was asked for");
    }
    t.end();
  });
}
