// writeReport(): a run's curves and figures as one page.
import { resolve } from "node:path";
import { z } from "zod";
import { text as path } from "./config/leaf.js";
import { check } from "./config/problems.js";
import { chartsOf } from "./report/charts.js";
import { factsOf } from "./report/facts.js";
import { readMetrics } from "./report/metrics.js";
import { pageOf } from "./report/page.js";
import { openRun, runFiles, writeAtomically } from "./run-directory.js";

export interface ReportRequest {
  /** Directory of a run, under way or not. */
  run: string;
  /** File to write (default: report.html in the run's directory). */
  out?: string | undefined;
}
export interface ReportResult {
  /** Absolute path of the page. */
  report: string;
  /** Steps and evaluations that it shows. */
  steps: number;
  evaluations: number;
}

const requestSchema: z.ZodType<ReportRequest> = z.strictObject({
  run: path("directory of a run"),
  out: path("file to write").optional(),
});

/**
 * Writes a page of a run's losses, evaluations, times and traffic, from its config.json and metrics.ndjson; it needs
 * nothing but a browser. What was there before is replaced when the page is whole.
 * @throws Zo2Error ZO2_INVALID_CONFIG; ZO2_RUN_NOT_FOUND; ZO2_IO
 */
export async function writeReport(request: ReportRequest): Promise<ReportResult> {
  const { run, out } = check(requestSchema, request);
  const config = await openRun(run);
  const files = runFiles(resolve(run));
  const metrics = await readMetrics(files.metrics);
  const report = out === undefined ? files.report : resolve(out);
  const page = pageOf({
    title: resolve(run),
    facts: factsOf(config, metrics),
    charts: chartsOf(metrics),
    config: JSON.stringify(config, null, 2),
  });
  writeAtomically(report, page);
  return { report, steps: metrics.steps.length, evaluations: metrics.evaluations.length };
}
