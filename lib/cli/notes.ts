// What people should know of the rows that were read.
import { type DataReport, describeProblems } from "../data/report.js";

/** A sentence for each thing. */
export function dataNotes(role: string, report: DataReport): string[] {
  const { source, rows, unusable, truncated, encodedApart } = report;
  const notes = [`${role}: ${rows} rows from ${source}`];
  if (unusable > 0) notes.push(`${unusable} unusable rows left out: ${describeProblems(report)}`);
  if (truncated > 0) notes.push(`${truncated} rows cut to the longest length`);
  if (encodedApart > 0) notes.push(`${encodedApart} rows had their options encoded on their own`);
  return notes;
}
