// evaluate(): a base model, or a run, on rows.
import { invalid } from "./config/problems.js";
import { resolveEvaluateConfig, resolveTask } from "./config/resolve.js";
import type { EvaluateConfig } from "./config/types.js";
import { type EvaluateResult, evaluateRows } from "./evaluation.js";
import { nativeRuntime, type Runtime } from "./runtime.js";
import { taskOf } from "./tasks/registry.js";
import { openTuned, withTuned } from "./tuned.js";

export interface EvaluateOptions {
  /** Ends it: loading and computing at once. */
  signal?: AbortSignal | undefined;
}

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
  { signal }: EvaluateOptions,
): Promise<EvaluateResult> {
  const resolved = resolveEvaluateConfig(config);
  signal?.throwIfAborted();
  const tuned = await openTuned(resolved);
  const saved = tuned.run?.config;
  const settings = resolveTask(resolved, saved);
  const source = resolved.data ?? saved?.data.eval;
  if (source === undefined) throw invalid("data is missing, and the run has no data.eval");
  const { maxLength } = settings;
  const batchTokens = resolved.schedule.evalBatchTokens;
  const rows = { source, task: taskOf(settings), maxLength, batchTokens };
  return withTuned(runtime, tuned, signal, (opened) => evaluateRows(opened, rows, signal));
}
