// `npm run gpu-check`, on the emulated GPU: that it runs to its end and says what it ran on.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { node, root } from "../support/command.js";

const skip = existsSync(join(root, "build/cmake/emulated")) ? false : "no CUDA headers";

interface Report {
  machine: { emulated: boolean };
  failed: number;
  sections: { title: string; ok: boolean | null; data?: unknown }[];
}

t.test("a report of every part", { skip }, async (t) => {
  const dir = t.testdir();
  const args = ["--emulated", "--skip-build", "--output", dir];
  await node("scripts/gpu-check.mjs", ...args);
  const report = JSON.parse(readFileSync(join(dir, "gpu-check.json"), "utf8")) as Report;
  t.match(report, { machine: { emulated: true }, failed: 0 });
  t.same(
    report.sections.map(({ ok }) => ok),
    [true, true, null, true, null],
    "no compute-sanitizer and no cuBLASLt for an emulated GPU",
  );
  const rows = report.sections[3]?.data;
  const row = Array.isArray(rows) ? (rows[0] as Record<string, unknown>) : undefined;
  t.match(row, { shape: "opt-tiny", layers: "all", usedBytes: null, matmul: "zo2" });
  for (const name of ["stepMs", "linkMs", "budgetBytes"]) t.ok(Number(row?.[name]) > 0, name);
  t.match(Object.keys(row?.["lanesMs"] as object).sort(), [
    "compute",
    "gather",
    "offload",
    "upload",
  ]);
  t.match(readFileSync(join(dir, "gpu-check.md"), "utf8"), /\*\*On an emulated GPU/);
});
