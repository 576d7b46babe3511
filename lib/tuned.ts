// A base model, or a run's: its model with its journal applied.
import { invalid } from "./config/problems.js";
import { defaultSchedule } from "./config/schema.js";
import type {
  ResolvedEvaluateSchedule,
  ResolvedPlacement,
  ResolvedTrainConfig,
} from "./config/types.js";
import { fromNative, Zo2Error } from "./errors.js";
import type { DownloadEvent, HubOptions } from "./hub/snapshot.js";
import { interruptible, locateModel, type OpenModel, openModel, trainedOf } from "./model.js";
import { openRun, runFiles } from "./run-directory.js";
import type { Runtime } from "./runtime.js";

export interface Tuned {
  /** The run's directory and configuration; undefined for a base model. */
  run: { directory: string; config: ResolvedTrainConfig } | undefined;
  /** The base model, or where the run's is now. */
  model: string | undefined;
  schedule: ResolvedPlacement & Partial<Pick<ResolvedEvaluateSchedule, "storage">>;
}

/**
 * What a configuration's `run`, `model` and `schedule` ask for.
 * @throws Zo2Error where there is no such run, or its weights are stored as another type
 */
export async function openTuned(asked: {
  run?: string | undefined;
  model?: string | undefined;
  schedule: Tuned["schedule"];
}): Promise<Tuned> {
  const { run: directory, model, schedule } = asked;
  if (directory === undefined) return { run: undefined, model, schedule };
  const config = await openRun(directory);
  const { storage } = schedule;
  if (storage !== undefined && storage !== config.schedule.storage) {
    throw invalid(
      `schedule.storage is "${storage}", but the run's is "${config.schedule.storage}"; leave it out`,
    );
  }
  return { run: { directory, config }, model, schedule };
}

/** @throws Zo2Error; as they are, the signal's reason and what `onDownload` throws */
async function locate({ run, model }: Tuned, options: HubOptions): Promise<string> {
  const saved = run?.config.model;
  let thrown: unknown;
  const onDownload = async (event: DownloadEvent): Promise<void> => {
    try {
      await options.onDownload?.(event);
    } catch (reason) {
      thrown = reason;
      throw reason;
    }
  };
  try {
    return await locateModel(model ?? saved ?? "", { ...options, onDownload });
  } catch (error) {
    const isForeign = error === thrown || options.signal?.aborted || !(error instanceof Zo2Error);
    if (model !== undefined || isForeign) throw error;
    const advice = `${run?.directory} was started with it; give model to say where it is now`;
    throw new Zo2Error(error.code, `${error.message}; ${advice}`, { cause: error });
  }
}

/**
 * Opens a model, has `use` do its work, and frees the model.
 * @param use gets the model and the last step that its weights hold
 * @throws Zo2Error; the signal's reason
 */
export async function withTuned<T>(
  runtime: Runtime,
  tuned: Tuned,
  options: HubOptions,
  use: (model: OpenModel, step: number) => Promise<T>,
): Promise<T> {
  const { signal } = options;
  // What a callback throws on the way is no fault of the engine's.
  const path = await locate(tuned, options);
  try {
    // How a run was computed says nothing of this machine; what its weights are stored as is theirs.
    const own = tuned.schedule;
    const schedule = {
      ...own,
      storage: own.storage ?? defaultSchedule.storage,
      ...(tuned.run && trainedOf(tuned.run.config, tuned.run.directory)),
    };
    const run = tuned.run?.directory;
    const model = await openModel(runtime, path, { ...schedule, run }, signal);
    try {
      const { engine } = model;
      const replay = async (): Promise<number> =>
        run === undefined ? 0 : engine.replay(runFiles(run).journal, { run });
      const step = await interruptible(engine, signal, replay);
      return await use(model, step);
    } finally {
      await model.engine.close();
    }
  } catch (error) {
    throw signal?.aborted ? signal.reason : fromNative(error);
  }
}
