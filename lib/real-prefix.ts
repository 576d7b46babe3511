// prefixTuning.initByRealAct: the prefix that a run begins from is made by the model itself and kept beside
// the run's journal, as it is of the device that made it.
import { tokensToRealise } from "./config/adapters.js";
import { storedAs } from "./config/storage.js";
import type { ResolvedTrainConfig } from "./config/types.js";
import { interruptible, openModel } from "./model.js";
import { runFiles } from "./run-directory.js";
import type { Runtime } from "./runtime.js";

/**
 * Makes the prefix of a run that has not begun, where its configuration asks for one.
 * @param path of the model
 * @throws Zo2Error; the signal's reason
 */
export async function makePrefix(
  runtime: Runtime,
  path: string,
  config: ResolvedTrainConfig,
  signal: AbortSignal,
): Promise<void> {
  const tokens = tokensToRealise(config.prefixTuning);
  if (tokens === undefined) return;
  const { trace: _, ...schedule } = config.schedule;
  const storage = storedAs(config.method, schedule.storage);
  const { engine } = await openModel(runtime, path, { ...schedule, storage }, signal);
  try {
    const { prefix } = runFiles(config.output);
    await interruptible(engine, signal, () => engine.writePrefix(tokens, config.seed, prefix));
  } finally {
    await engine.close();
  }
}
