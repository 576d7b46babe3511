// What may not change when a run is resumed.
import { Zo2Error } from "../errors.js";
import { shorten } from "./problems.js";
import { roundingOf } from "./rounding.js";
import { trainSchema } from "./schema.js";
import { leaves } from "./tree.js";
import type { ResolvedTrainConfig } from "./types.js";

// They say where, how fast or how long, never which numbers. What `model` holds is compared by its
// fingerprint, so that it may move.
const free = new Set([
  "model",
  "steps",
  "output",
  "resume",
  // Compared by their fingerprints, as the model.
  "lora.adapter",
  "prefixTuning.adapter",
  "evalEvery",
  "maxSkipped",
  "data.eval",
  // Rows to train on that change with it are compared as rows.
  "data.numDev",
  "schedule.memory",
  "schedule.hostMemory",
  "schedule.disk",
  "schedule.offload",
  "schedule.extentBytes",
  "schedule.slots",
  "schedule.lookAhead",
  "schedule.placement",
  "schedule.trace",
  "schedule.ablation.overlap",
  "schedule.ablation.reuseSlots",
  "schedule.ablation.deferredUpdate",
  "schedule.ablation.shareBranches",
  "schedule.ablation.hostSync",
  "schedule.ablation.writeLag",
  "schedule.threads",
  "schedule.isa",
  "schedule.matmul",
  "schedule.evalBatchTokens",
  "schedule.checkpointEvery",
]);

function valueOf(config: ResolvedTrainConfig, path: string[]): unknown {
  const { schedule } = config;
  let value: unknown = { ...config, schedule: { ...schedule, ...roundingOf(config) } };
  for (const name of path) value = (value as Record<string, unknown> | undefined)?.[name];
  return value;
}

/** Both values, around where they begin to differ; undefined when they are the same. */
function compare(saved: unknown, given: unknown): string | undefined {
  const [before, now] = [saved, given].map((value) => JSON.stringify(value) ?? "nothing");
  if (before === undefined || now === undefined || before === now) return undefined;
  let at = 0;
  while (before[at] === now[at]) at += 1;
  return `saved ${shorten(before, at)}, given ${shorten(now, at)}`;
}

/**
 * Compares a run's saved configuration with the one it is to go on with.
 * @throws Zo2Error ZO2_JOURNAL_MISMATCH showing field, saved and given value.
 */
export function checkIdentity(
  saved: ResolvedTrainConfig,
  given: ResolvedTrainConfig,
  file: string,
): void {
  const differences: string[] = [];
  for (const { path } of leaves(trainSchema)) {
    const name = path.join(".");
    // The length of a run shapes its learning rate unless that is constant.
    const stepsMatter = name === "steps" && given.method.lrSchedulerType !== "constant";
    if (free.has(name) && !stepsMatter) continue;
    const difference = compare(valueOf(saved, path), valueOf(given, path));
    if (difference) differences.push(`${name}: ${difference}`);
  }
  if (differences.length === 0) return;
  throw new Zo2Error(
    "ZO2_JOURNAL_MISMATCH",
    `${file} belongs to a run with another configuration (${differences.join("; ")}); ` +
      "give the saved values to go on with it, or another output",
  );
}
