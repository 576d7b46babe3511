// evaluate(): a base model, or a run, on rows.
import { invalid } from "./config/problems.js";
import { resolveEvaluateConfig, resolveTask } from "./config/resolve.js";
import { evaluateTerms, inTerms } from "./config/terms.js";
import type {
  EvaluateConfig,
  ResolvedEvaluateConfig,
  ResolvedTrainConfig,
} from "./config/types.js";
import { checkShots } from "./data/demonstrations.js";
import { drawnPart, evalPart, trainPart } from "./data/draw.js";
import { locatePart, locateRows } from "./data/locate.js";
import { checkCalibration } from "./evaluation/choices.js";
import { type EvaluateResult, evaluateRows, type RowsToEvaluate } from "./evaluation.js";
import type { HubOptions } from "./hub/snapshot.js";
import { nativeRuntime, type Runtime } from "./runtime.js";
import { taskOf } from "./tasks/registry.js";
import { openTuned, withTuned } from "./tuned.js";

/** `signal` ends it: loading and computing at once. */
export type EvaluateOptions = HubOptions;

/**
 * Evaluates a base model (`model`) or a tuned one (`run`) on rows.
 * @throws Zo2Error; the signal's reason
 */
export async function evaluate(
  config: EvaluateConfig,
  options: EvaluateOptions = {},
): Promise<EvaluateResult> {
  return evaluateWith(nativeRuntime, config, options);
}

/** {@link evaluate} on a given runtime. */
export async function evaluateWith(
  runtime: Runtime,
  config: EvaluateConfig,
  options: EvaluateOptions,
): Promise<EvaluateResult> {
  const { signal } = options;
  const resolved = resolveEvaluateConfig(config);
  signal?.throwIfAborted();
  try {
    const tuned = await openTuned(resolved);
    const rows = await locateAll(rowsOf(resolved, tuned.run?.config), options);
    return await withTuned(runtime, tuned, options, (opened) => evaluateRows(opened, rows, signal));
  } catch (error) {
    throw inTerms(evaluateTerms, error);
  }
}

/** Rows and demonstrations, fetched where they are named on the Hub. */
async function locateAll(rows: RowsToEvaluate, options: HubOptions): Promise<RowsToEvaluate> {
  const { demonstrations } = rows;
  const source =
    demonstrations?.shots && (await locateRows(demonstrations.source, "train", options));
  return {
    ...rows,
    ...(await locatePart(rows, options)),
    ...(demonstrations && source && { demonstrations: { ...demonstrations, source } }),
  };
}

/** What is evaluated, and how. @throws Zo2Error ZO2_INVALID_CONFIG */
function rowsOf(
  config: ResolvedEvaluateConfig,
  run: ResolvedTrainConfig | undefined,
): RowsToEvaluate {
  const settings = resolveTask(config, run);
  const { data, numEval, shots, demonstrationsPerRow: perRow, drawSeed, calibration } = config;
  const part = data === undefined ? run && evalPart(run.data) : drawnPart(data, numEval, drawSeed);
  if (part === undefined) throw invalid("data is missing, and the run has no data.eval");
  // Of a run: rows that it trains on, and none that it may be asked.
  const shown = config.demonstrations
    ? { source: config.demonstrations }
    : run && trainPart(run.data);
  const demonstrations = shown && { ...shown, shots, seed: drawSeed, perRow };
  const task = taskOf(settings);
  checkShots(task, shots);
  checkCalibration(task, calibration);
  const { maxLength } = settings;
  const batchTokens = config.schedule.evalBatchTokens;
  return { ...part, task, maxLength, batchTokens, demonstrations, calibration };
}
