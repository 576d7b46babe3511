// Rows that a run trains on and is evaluated on.
import { access } from "node:fs/promises";
import type { ResolvedData, ResolvedTrainConfig } from "./config/types.js";
import { evalPart, type Part, trainPart } from "./data/draw.js";
import { type LoadedData, loadData } from "./data/load.js";
import { locatePart } from "./data/locate.js";
import { fromIo } from "./errors.js";
import { requireRoom } from "./evaluation/answering.js";
import { needsAnswers } from "./evaluation/in-training.js";
import type { TrainEvent } from "./events.js";
import type { HubOptions } from "./hub/snapshot.js";
import { limitsFor, type OpenModel } from "./model.js";
import { checkNamedObjective } from "./named-objective.js";
import type { Objective } from "./objective.js";
import { taskOf } from "./tasks/registry.js";
import { trainingTask } from "./tasks/training.js";

export interface TrainingParts {
  train: Part;
  eval: Part | undefined;
}

export interface TrainingData {
  train: LoadedData;
  eval: LoadedData | undefined;
  /** Evaluations are more than the engine's own. */
  needsAnswers: boolean;
}

/** Rows that are there: a wrong name is told before the model is opened. @throws Zo2Error; the signal's reason */
export async function locateTrainingRows(
  data: ResolvedData,
  options: HubOptions,
): Promise<TrainingParts> {
  const locate = async (part: Part): Promise<Part> => {
    const located = await locatePart(part, options);
    const { source: path } = located;
    if (typeof path !== "string") return located;
    await access(path).catch((error) => Promise.reject(fromIo(error, "read", path)));
    return located;
  };
  const part = evalPart(data);
  return { train: await locate(trainPart(data)), eval: part && (await locate(part)) };
}

/** Of a run that trains on `objective`, if that is the user's own; `tell` hears what was read. */
export interface LoadingRows {
  objective: Objective | undefined;
  signal: AbortSignal;
  tell: (event: TrainEvent) => void;
}

/** @throws Zo2Error; the signal's reason */
export async function loadTrainingRows(
  model: OpenModel,
  config: ResolvedTrainConfig,
  parts: TrainingParts,
  { objective, signal, tell }: LoadingRows,
): Promise<TrainingData> {
  const { data } = config;
  const task = taskOf(data);
  const limits = limitsFor(model.info, data.maxLength);
  const request = { encoder: model.encoder, limits, signal };
  checkNamedObjective(config, task, objective);
  // Accuracy is of the options, also where a task would train on the right one alone.
  const asClassification = config.objective === "accuracy" ? true : data.trainAsClassification;
  const train = await loadData({
    ...request,
    ...parts.train,
    task: trainingTask(task, asClassification),
    keepRows: objective !== undefined,
    keepExamples: config.objective !== "loss",
  });
  tell({ event: "data", role: "train", ...train.report });
  if (parts.eval === undefined) return { train, eval: undefined, needsAnswers: false };
  if (task.kind === "generation") requireRoom(limits, task.answer);
  const keepExamples = task.kind !== "lm";
  const evaluated = await loadData({ ...request, ...parts.eval, task, keepExamples });
  tell({ event: "data", role: "eval", ...evaluated.report });
  return { train, eval: evaluated, needsAnswers: needsAnswers(task, evaluated) };
}
