// The configuration in the engine's terms.
import { roundingOf, writeEveryOf } from "./config/rounding.js";
import type { ResolvedTrainConfig } from "./config/types.js";
import { constantsOf } from "./config/methods.js";
import type { NativeTrainOptions } from "./native.js";

type Rest = Pick<
  NativeTrainOptions,
  "trainRows" | "evalRows" | "customObjective" | "identity" | "texts"
>;

export function nativeTrainOptions(config: ResolvedTrainConfig, rest: Rest): NativeTrainOptions {
  const { method, schedule } = config;
  return {
    output: config.output,
    resume: config.resume,
    steps: config.steps,
    batchSize: config.batchSize,
    gradientAccumulationSteps: config.gradientAccumulationSteps,
    seed: config.seed,
    learningRate: method.learningRate,
    lrSchedulerType: method.lrSchedulerType,
    warmupSteps: method.warmupSteps,
    minLearningRateRatio: method.minLearningRateRatio,
    weightDecay: method.weightDecay,
    method: method.name,
    epsilon: method.epsilon,
    directions: method.directions,
    distribution: method.distribution,
    clip: method.clip,
    ...constantsOf(method),
    maxSkipped: config.maxSkipped,
    ...roundingOf(config),
    writeEvery: writeEveryOf(schedule),
    deferredUpdate: schedule.ablation.deferredUpdate,
    checkpointEvery: schedule.checkpointEvery,
    evalEvery: config.evalEvery,
    evalBatchTokens: schedule.evalBatchTokens,
    ...rest,
  };
}
