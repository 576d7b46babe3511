// What was read, and what could not be used.
import { Zo2Error } from "../errors.js";

/** A row that cannot be used, and why. */
export interface RowProblem {
  /**
   * Line of the file, from 1; where there are no lines (Parquet, a JSON list, rows in memory) the
   * position of the row, from 1.
   */
  line: number;
  reason: string;
}

/** Summary of one set of rows. */
export interface DataReport {
  /** File, or "rows" for rows in memory. */
  source: string;
  /** Usable rows. */
  rows: number;
  /** Rows left out. */
  unusable: number;
  /** The first few of those left out. */
  problems: RowProblem[];
  /** Rows that were cut to the longest length. */
  truncated: number;
  /**
   * Rows whose prompt's tokens do not begin those of prompt + option, so that the option was
   * encoded on its own.
   */
  encodedApart: number;
}

const kept = 5;

export function emptyReport(source: string): DataReport {
  return { source, rows: 0, unusable: 0, problems: [], truncated: 0, encodedApart: 0 };
}

export function addProblem(report: DataReport, problem: RowProblem): void {
  report.unusable += 1;
  // Faults of parsing are found before faults of encoding: the first are those of the first lines.
  report.problems.push(problem);
  report.problems.sort((a, b) => a.line - b.line);
  report.problems.length = Math.min(kept, report.problems.length);
}

/** The unusable rows of a report as one line of text: "data.jsonl:3: field ...; and 2 more". */
export function describeProblems({ source, unusable, problems }: DataReport): string {
  const first = problems.map(({ line, reason }) => `${source}:${line}: ${reason}`).join("; ");
  const more = unusable - problems.length;
  return more > 0 ? `${first}; and ${more} more` : first;
}

/** @throws Zo2Error ZO2_INVALID_DATA when no row can be used. */
export function requireRows(report: DataReport): void {
  if (report.rows > 0) return;
  const why = report.unusable > 0 ? describeProblems(report) : `${report.source} has no rows`;
  throw new Zo2Error("ZO2_INVALID_DATA", `none of the rows can be used: ${why}`);
}
