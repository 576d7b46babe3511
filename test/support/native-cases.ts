// Runs an executable of C++ unit tests, one subtest per case.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Test } from "tap";

/** @param executable prints TAP (test/native/main.cc) */
export function nativeCases(t: Test, executable: string): void {
  if (!existsSync(executable)) {
    t.fail(`${executable} is missing: npm run build:native -- --tests`);
    t.end();
    return;
  }
  const jobs = String(availableParallelism());
  const run = spawnSync(executable, ["--jobs", jobs], { encoding: "utf8", maxBuffer: 1 << 26 });
  const cases = [...run.stdout.matchAll(/^(not ok|ok) \d+ - (.*)$/gm)];
  // Seeds, and what failed.
  for (const [, comment] of run.stdout.matchAll(/^# (.*)$/gm)) t.comment(comment);
  for (const [, verdict, name] of cases) t.equal(verdict, "ok", name ?? "");
  t.ok(cases.length > 0, "cases were run");
  t.equal(run.status, 0, `exit status; ${run.stderr.slice(-2000)}`);
  t.end();
}
