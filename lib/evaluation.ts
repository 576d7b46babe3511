// Loss, accuracy and per-row results of an opened model.
import type { JsonRow } from "./config/types.js";
import { type LoadedData, loadData } from "./data/load.js";
import type { DataReport } from "./data/report.js";
import { interruptible, limitsFor, type OpenModel } from "./model.js";
import type { NativeEvalResult } from "./native.js";
import type { Task } from "./tasks/task.js";

/** What is known of one row. */
export interface EvaluatedRow {
  /** Position among the usable rows, from 0. */
  index: number;
  /** Line of the file, from 1, or position of the row where there are no lines. */
  line: number;
  /** Language modelling: mean nats per predicted token; options: cross-entropy over options. */
  loss: number;
  /** Language modelling: predicted tokens; options: tokens read for all options. */
  tokens: number;
  /** Index of the most likely option. */
  prediction?: number;
  /** Index of the right option. */
  label?: number;
  /** Mean log-probability of each option's tokens, in nats. */
  logprobs?: number[];
}

/** What {@link evaluate} resolves to. */
export interface EvaluateResult {
  /** Mean over predicted tokens (language modelling) or over rows (options), in nats. */
  loss: number;
  /** Share of rows whose most likely option is the right one; null for language modelling. */
  accuracy: number | null;
  rows: EvaluatedRow[];
  /** What was read and what could not be used. */
  data: DataReport;
}

function perRow({ rows, lines }: LoadedData, result: NativeEvalResult): EvaluatedRow[] {
  const { kind, rowOffsets, gold } = rows;
  return lines.map((line, index) => {
    const [loss = Number.NaN, tokens = 0] = [result.rowLoss[index], result.rowTokens[index]];
    if (kind === "lm") return { index, line, loss, tokens };
    const [prediction = -1, label = -1] = [result.prediction[index], gold[index]];
    const logprobs = result.logprobs.subarray(rowOffsets[index], rowOffsets[index + 1]);
    return { index, line, loss, tokens, prediction, label, logprobs: Array.from(logprobs) };
  });
}

/** Rows, and how to evaluate them. */
export interface RowsToEvaluate {
  source: string | JsonRow[];
  task: Task;
  maxLength: number | undefined;
  batchTokens: number;
}

/** Evaluates rows on the engine's present weights. @throws Zo2Error, or what the engine throws */
export async function evaluateRows(
  { encoder, info, engine }: OpenModel,
  { source, task, maxLength, batchTokens }: RowsToEvaluate,
  signal?: AbortSignal,
): Promise<EvaluateResult> {
  const limits = limitsFor(info, maxLength);
  const loaded = await loadData({ source, task, encoder, limits, signal });
  const { rows } = loaded;
  const work = (): Promise<NativeEvalResult> => engine.evaluate({ rows, batchTokens });
  const result = await interruptible(engine, signal, work);
  const { loss, accuracy } = result;
  return { loss, accuracy, rows: perRow(loaded, result), data: loaded.report };
}
