// evaluate(): a base model, or a run, on rows.
import { invalid } from "./config/problems.js";
import { resolveEvaluateConfig, resolveTask } from "./config/resolve.js";
import type { EvaluateConfig } from "./config/types.js";
import { type EvaluateResult, evaluateRows } from "./evaluation.js";
import { openRun } from "./run-directory.js";
import { nativeRuntime, type Runtime } from "./runtime.js";
import { taskOf } from "./tasks/registry.js";
import { withTuned } from "./tuned.js";

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
  const { run: directory, model, schedule } = resolved;
  signal?.throwIfAborted();
  const saved = directory === undefined ? undefined : await openRun(directory);
  const settings = resolveTask(resolved, saved);
  const source = resolved.data ?? saved?.data.eval;
  if (source === undefined) throw invalid("data is missing, and the run has no data.eval");
  const { storage } = schedule;
  if (saved && storage !== undefined && storage !== saved.schedule.storage) {
    throw invalid(
      `schedule.storage is "${storage}", but the run's is "${saved.schedule.storage}"; leave it out`,
    );
  }
  const run = directory !== undefined && saved ? { directory, config: saved } : undefined;
  const { maxLength } = settings;
  const rows = { source, task: taskOf(settings), maxLength, batchTokens: schedule.evalBatchTokens };
  return withTuned(runtime, { run, model, schedule }, signal, (opened) =>
    evaluateRows(opened, rows, signal),
  );
}
