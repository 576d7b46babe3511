// The public handle over a run.
import type { TrainConfig } from "./config/types.js";
import { nativeRuntime } from "./runtime.js";
import { type TrainerOptions, TrainingRun } from "./training-run.js";

/**
 * Fine-tunes a model; begins at once. Iterate it for its steps, await `result` for its end.
 *
 * ```ts
 * await using trainer = new Trainer(config);
 * for await (const step of trainer) console.log(step.step, step.loss);
 * await trainer.export("tuned");
 * ```
 */
export class Trainer extends TrainingRun {
  /** @throws Zo2Error ZO2_INVALID_CONFIG naming field, value and what is allowed */
  constructor(config: TrainConfig, options: TrainerOptions = {}) {
    super(config, options, nativeRuntime);
  }
}
