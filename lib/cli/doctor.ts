// zo2 doctor
import { formatSize } from "../config/sizes.js";
import { doctor } from "../doctor.js";
import type { Output } from "./output.js";

/** @returns exit code: 1 when a self-test failed */
export function doctorCommand(output: Output): number {
  const report = doctor();
  const { cuda, checks, ok } = report;
  output.object({ event: "done", ...report });
  output.text(`zo2      ${report.version} on Node ${report.node}, ${report.platform}`);
  output.text(`cpu      ${report.cores} cores, ${report.isa} (of ${report.isas.join(", ")})`);
  output.text(`memory   ${formatSize(report.memoryBytes)}`);
  output.text(`cuda     ${cuda.built ? `${cuda.devices} devices` : "not in this build"}`);
  if (cuda.error) output.text(`         ${cuda.error}`);
  for (const check of checks) {
    output.text(`${check.ok ? "ok      " : "FAILED  "} ${check.name}: ${check.detail}`);
  }
  if (!ok) output.note("a self-test failed: results on this machine cannot be trusted");
  return ok ? 0 : 1;
}
