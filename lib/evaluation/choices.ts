// Which option of a row is chosen, and whether that is right.
import { invalid, show } from "../config/problems.js";
import { encodeExamples } from "../data/encode.js";
import type { LoadedData } from "../data/load.js";
import { RowPacker } from "../data/packer.js";
import type { Limits } from "../data/row-plan.js";
import { Zo2Error } from "../errors.js";
import { interruptible, type OpenModel } from "../model.js";
import type { NativeEvalResult, NativeRows } from "../native.js";
import { answerF1, exactMatch } from "../tasks/answers.js";
import { type OptionsExample, RowError, rightOptions, type Task } from "../tasks/task.js";
import type { TextEncoder } from "../tokenizer/tokenizer.js";

export type Calibration = "none" | "sfc" | "icl_sfc";

/** What was chosen for a row. */
export interface Choice {
  /** Index of the option that was chosen. */
  prediction: number;
  /** Index of the right option, the first of several. */
  label: number;
  /** Indices of all right options, where there are several. */
  labels?: number[];
  /** Mean log-probability of each option's tokens, in nats. */
  logprobs: number[];
  /** What options were compared by, with calibration: differences of sums, in nats. */
  scores?: number[];
  f1?: number;
  exactMatch?: number;
}

/** @throws Zo2Error ZO2_INVALID_CONFIG when a task's options cannot be calibrated */
export function checkCalibration({ name, kind }: Task, calibration: Calibration): void {
  if (calibration === "none" || kind === "options") return;
  throw invalid(
    `calibration is "${calibration}", but task ${show(name)} has no options; leave it out`,
  );
}

/** The sum over each option's tokens from their mean. */
function sumsOf({ sequenceOffsets, labelStart }: NativeRows, means: Float64Array): Float64Array {
  return means.map((mean, sequence) => {
    const [start = 0, end = 0] = sequenceOffsets.subarray(sequence, sequence + 2);
    return mean * (end - start - (labelStart[sequence] ?? 0));
  });
}

/** The options of a row behind what says nothing of it. */
function domainExample(
  { context, options, domainPrompt }: OptionsExample,
  calibration: Calibration,
  { prefix, eos }: TextEncoder,
): OptionsExample {
  if (domainPrompt === undefined) {
    throw invalid(
      `calibration is "${calibration}", but the task makes no domainPrompt; leave it out, or use ` +
        "defineTask() to make one",
    );
  }
  if (calibration === "icl_sfc" && context) {
    return { context, prompt: domainPrompt, options, label: 0 };
  }
  // Something must stand before an option: without a beginning-of-text token, the end of another text.
  const isBare = domainPrompt === "" && prefix.length === 0 && eos !== undefined;
  return { prompt: isBare ? [eos] : domainPrompt, options, label: 0 };
}

export interface Scoring {
  model: OpenModel;
  limits: Limits;
  batchTokens: number;
  calibration: Calibration;
  signal: AbortSignal | undefined;
}

/** Sums of log-probabilities behind domain prompts, for each row; equal ones are computed once. */
async function domainSums(
  examples: readonly OptionsExample[],
  { model, limits, batchTokens, calibration, signal }: Scoring,
): Promise<Float64Array[]> {
  const encoder = await model.encoder();
  const indices = new Map<string, number>();
  const unique: OptionsExample[] = [];
  const which = examples.map((example) => {
    const domain = domainExample(example, calibration, encoder);
    const key = JSON.stringify(domain);
    const index = indices.get(key) ?? unique.push(domain) - 1;
    indices.set(key, index);
    return index;
  });
  const packer = new RowPacker("options");
  for (const row of await encodeExamples(unique, model.encoder, limits)) {
    if (row instanceof RowError) {
      throw new Zo2Error("ZO2_INVALID_DATA", `calibration: a domain prompt ${row.message}`);
    }
    packer.add(row.sequences, row.gold);
  }
  const rows = packer.finish();
  const work = () => model.engine.evaluate({ rows, batchTokens });
  const { logprobs } = await interruptible(model.engine, signal, work);
  const sums = sumsOf(rows, logprobs);
  return which.map((row) => sums.subarray(rows.rowOffsets[row], rows.rowOffsets[row + 1]));
}

/** How right the choice is as text: what it is called against what the right ones are called. */
function asText({ candidates, ...example }: OptionsExample, prediction: number) {
  if (!candidates) return {};
  const right = rightOptions(example).map((index) => candidates[index] ?? "");
  const answer = candidates[prediction] ?? "";
  return { f1: answerF1(answer, right), exactMatch: exactMatch(answer, right) };
}

/** The first of the highest. */
export function highest(scores: readonly number[]): number {
  return scores.indexOf(Math.max(...scores));
}

/** Choices for all rows, from the mean log-probabilities of their options. */
export async function choose(
  { rows, examples: all }: LoadedData,
  { logprobs: means, prediction: likeliest }: NativeEvalResult,
  scoring: Scoring,
): Promise<Choice[]> {
  const examples = all as OptionsExample[];
  const isCalibrated = scoring.calibration !== "none";
  const sums = isCalibrated ? sumsOf(rows, means) : means;
  const domains = isCalibrated ? await domainSums(examples, scoring) : [];
  return examples.map((example, index) => {
    const [start = 0, end = 0] = rows.rowOffsets.subarray(index, index + 2);
    const domain = domains[index];
    const scores =
      domain && Array.from(sums.subarray(start, end), (sum, i) => sum - (domain[i] ?? 0));
    const prediction = scores ? highest(scores) : (likeliest[index] ?? -1);
    const [label = -1, ...others] = rightOptions(example);
    return {
      prediction,
      label,
      ...(others.length > 0 && { labels: [label, ...others] }),
      logprobs: Array.from(means.subarray(start, end)),
      ...(scores && { scores }),
      ...asText(example, prediction),
    };
  });
}
