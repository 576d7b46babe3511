// train(): from a configuration to a result.
import type { TrainConfig } from "./config/types.js";
import type { TrainResult } from "./events.js";
import { Trainer } from "./trainer.js";
import type { TrainerOptions } from "./training-run.js";

/**
 * Fine-tunes a model and frees it. The same configuration on the same `output` goes on where an
 * earlier process ended. A bad configuration rejects before anything is read.
 * @throws Zo2Error; the signal's reason; what callbacks throw
 */
export async function train(
  config: TrainConfig,
  options: TrainerOptions = {},
): Promise<TrainResult> {
  const trainer = new Trainer(config, options);
  try {
    return await trainer.result;
  } finally {
    await trainer.close();
  }
}
