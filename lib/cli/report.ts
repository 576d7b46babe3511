// zo2 report
import { type ReportRequest, writeReport } from "../report.js";
import type { Output } from "./output.js";
import type { Given } from "./settings.js";

/** @returns exit code */
export async function reportCommand({ run, out }: Given, output: Output): Promise<number> {
  const result = await writeReport({ run, out } as unknown as ReportRequest); // which checks it
  output.object({ event: "done", ...result });
  output.text(`wrote ${result.report}: ${result.steps} steps, ${result.evaluations} evaluations`);
  return 0;
}
