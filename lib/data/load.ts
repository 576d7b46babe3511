// From a file (or rows in memory) to packed rows and a report.
import type { JsonRow } from "../config/types.js";
import type { NativeRows } from "../native.js";
import { type Example, RowError, type Task } from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";
import { encodeExamples } from "./encode.js";
import { readRows } from "./formats.js";
import { RowPacker } from "./packer.js";
import { addProblem, type DataReport, emptyReport, requireRows } from "./report.js";
import type { Limits } from "./row-plan.js";

export interface LoadRequest {
  /** File, or rows in memory. */
  source: string | readonly JsonRow[];
  task: Task;
  /** Called when there is text to encode. */
  encoder: () => Promise<TextEncoder>;
  limits: Limits;
  /** Keep the rows themselves, for objectives that look at them. */
  keepRows?: boolean;
  signal?: AbortSignal | undefined;
}
export interface LoadedData {
  rows: NativeRows;
  /** Line of each usable row. */
  lines: number[];
  /** The usable rows as parsed; empty without `keepRows`. */
  source: JsonRow[];
  report: DataReport;
}

/** Rows encoded at once. */
const batchRows = 1024;

interface Pending {
  line: number;
  row: JsonRow;
  example: Example;
}

/**
 * Reads, encodes and packs rows. Rows that cannot be used are reported and left out.
 * @throws Zo2Error ZO2_IO; ZO2_INVALID_DATA when no row can be used
 */
export async function loadData(request: LoadRequest): Promise<LoadedData> {
  const { source, task, encoder, limits, keepRows = false, signal } = request;
  const report = emptyReport(typeof source === "string" ? source : "rows");
  const packer = new RowPacker(task.kind);
  const lines: number[] = [];
  const kept: JsonRow[] = [];
  let batch: Pending[] = [];
  const flush = async (): Promise<void> => {
    const examples = batch.map(({ example }) => example);
    const encoded = await encodeExamples(examples, encoder, limits);
    for (const [index, { line, row }] of batch.entries()) {
      const result = encoded[index];
      if (result === undefined) continue;
      if (result instanceof RowError) {
        addProblem(report, { line, reason: result.message });
        continue;
      }
      packer.add(result.sequences, result.gold);
      lines.push(line);
      if (keepRows) kept.push(row);
      report.rows += 1;
      report.truncated += result.truncated;
      report.encodedApart += Number(result.encodedApart);
    }
    batch = [];
  };
  for await (const placed of readRows(source)) {
    signal?.throwIfAborted();
    try {
      if ("reason" in placed) throw new RowError(placed.reason);
      batch.push({ ...placed, example: task.example(placed.row) });
    } catch (error) {
      if (!(error instanceof RowError)) throw error;
      addProblem(report, { line: placed.line, reason: error.message });
    }
    if (batch.length >= batchRows) await flush();
  }
  await flush();
  signal?.throwIfAborted();
  requireRows(report);
  return { rows: packer.finish(), lines, source: kept, report };
}
