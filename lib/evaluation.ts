// Loss, accuracy and per-row results of an opened model.
import { drawContexts, withContext } from "./data/demonstrations.js";
import { countRows, type Part } from "./data/draw.js";
import { type LoadedData, loadData } from "./data/load.js";
import type { DataReport } from "./data/report.js";
import type { Limits } from "./data/row-plan.js";
import { type Answer, answerAll } from "./evaluation/answering.js";
import { type Calibration, type Choice, choose } from "./evaluation/choices.js";
import { interruptible, limitsFor, type OpenModel } from "./model.js";
import type { NativeEvalResult } from "./native.js";
import type { Task } from "./tasks/task.js";

/** What is known of one row; which of the optional values, depends on the kind of its task. */
export interface EvaluatedRow extends Partial<Choice>, Partial<Answer> {
  /** Position among the usable rows, from 0. */
  index: number;
  /** Line of the file, from 1, or position of the row where there are no lines. */
  line: number;
  /** Options: cross-entropy over them; else mean nats per predicted token. */
  loss: number;
  /** Options: tokens read for all of them; else predicted tokens. */
  tokens: number;
}

/** What {@link evaluate} resolves to. */
export interface EvaluateResult {
  /** Mean over rows (options) or else over predicted tokens, in nats; never calibrated. */
  loss: number;
  /** Share of rows whose chosen option is a right one; null where there are none to choose. */
  accuracy: number | null;
  /**
   * Mean of {@link EvaluatedRow.f1}, from 0 to 1: SQuAD's, of generated answers, or of chosen options
   * that are called something. Null for other tasks.
   */
  f1: number | null;
  /** Share of rows whose answer is, normalised as SQuAD does, a right one; null where f1 is. */
  exactMatch: number | null;
  rows: EvaluatedRow[];
  /** What was read and what could not be used. */
  data: DataReport;
}

/** Demonstrations before rows. */
export interface Demonstrations extends Part {
  shots: number;
  seed: number;
  perRow: boolean;
}
/** Rows, and how to evaluate them. */
export interface RowsToEvaluate extends Part {
  task: Task;
  maxLength: number | undefined;
  batchTokens: number;
  demonstrations?: Demonstrations | undefined;
  calibration?: Calibration | undefined;
}

/** The rows, behind their demonstrations. */
async function load(
  { encoder }: OpenModel,
  { source, draw, task, demonstrations }: RowsToEvaluate,
  limits: Limits,
  signal: AbortSignal | undefined,
): Promise<LoadedData> {
  const request = { source, draw, task, encoder, limits, signal };
  const keepExamples = task.kind !== "lm";
  if (!demonstrations?.shots) return loadData({ ...request, keepExamples });
  const total = await countRows(source, signal);
  const rows = draw ? draw(total).length : total;
  const contextOf = await drawContexts({ ...demonstrations, task, rows, signal });
  return loadData({
    ...request,
    keepExamples,
    change: (example, index) => withContext(example, contextOf(index)),
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
/** Null unless every row has the value. */
function meanOf(rows: readonly EvaluatedRow[], name: "f1" | "exactMatch"): number | null {
  const values = rows.flatMap((row) => row[name] ?? []);
  return values.length === rows.length ? mean(values) : null;
}
function isRight({ prediction = -1, label, labels = [] }: EvaluatedRow): boolean {
  return prediction === label || labels.includes(prediction);
}

/** Evaluates rows on the engine's present weights. @throws Zo2Error, or what the engine throws */
export async function evaluateRows(
  model: OpenModel,
  request: RowsToEvaluate,
  signal?: AbortSignal,
): Promise<EvaluateResult> {
  const limits = limitsFor(model.info, request.maxLength);
  const loaded = await load(model, request, limits, signal);
  return evaluateLoaded(model, loaded, request, signal);
}

/** {@link evaluateRows} of rows that are encoded, with their examples where the task is no language modelling. */
export async function evaluateLoaded(
  model: OpenModel,
  loaded: LoadedData,
  request: Pick<RowsToEvaluate, "task" | "maxLength" | "batchTokens" | "calibration">,
  signal?: AbortSignal,
): Promise<EvaluateResult> {
  const { engine, info } = model;
  const { task, maxLength, batchTokens, calibration = "none" } = request;
  const limits = limitsFor(info, maxLength);
  const work = (): Promise<NativeEvalResult> => engine.evaluate({ rows: loaded.rows, batchTokens });
  const result = await interruptible(engine, signal, work);
  const { kind, answer: settings } = task;
  const common = { model, limits, batchTokens, signal };
  const judged: Partial<Choice & Answer>[] =
    kind === "options"
      ? await choose(loaded, result, { ...common, calibration })
      : kind === "generation"
        ? await answerAll(loaded, { ...common, settings })
        : [];
  const rows = loaded.lines.map((line, index): EvaluatedRow => {
    const [loss = Number.NaN, tokens = 0] = [result.rowLoss[index], result.rowTokens[index]];
    return { index, line, loss, tokens, ...judged[index] };
  });
  return {
    loss: result.loss,
    accuracy: kind === "options" ? mean(rows.map((row) => Number(isRight(row)))) : null,
    f1: meanOf(rows, "f1"),
    exactMatch: meanOf(rows, "exactMatch"),
    rows,
    data: loaded.report,
  };
}
