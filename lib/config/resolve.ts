// From what a user gives to what a run is made from.
import { existsSync } from "node:fs";
import { extname, resolve } from "node:path";
import { evalPart } from "../data/draw.js";
import { readerOf } from "../data/formats.js";
import { rowsPath } from "../data/locate.js";
import { taskOf } from "../tasks/registry.js";
import { resolveAdapters } from "./adapters.js";
import { checkMethod, checkTrained, withMethodDefaults } from "./methods.js";
import { check, invalid } from "./problems.js";
import {
  evaluateSchema,
  exportSchema,
  generateSchema,
  scheduleSchema,
  taskSchema,
  trainSchema,
} from "./schema.js";
import { leaves } from "./tree.js";
import type {
  EvaluateConfig,
  ExportConfig,
  GenerateConfig,
  ResolvedEvaluateConfig,
  ResolvedExportConfig,
  ResolvedGenerateConfig,
  ResolvedSchedule,
  ResolvedTask,
  ResolvedTrainConfig,
  ScheduleConfig,
  TrainConfig,
} from "./types.js";

/** A schedule with every default. @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveSchedule(schedule: ScheduleConfig): ResolvedSchedule {
  return check(scheduleSchema, schedule);
}

/** A path becomes absolute; what is not there may be an id. */
function modelPath(model: string): string {
  return existsSync(model) ? resolve(model) : model;
}

/**
 * Checks a training configuration and fills in every default; relative paths become
 * absolute. @throws Zo2Error ZO2_INVALID_CONFIG
 */
export function resolveTrainConfig(config: TrainConfig): ResolvedTrainConfig {
  const resolved = check(trainSchema, withMethodDefaults(config));
  const { data, evalEvery } = resolved;
  checkMethod(resolved.method);
  checkTrained(resolved.method, resolved.schedule.storage, resolved);
  taskOf(data);
  const trainPath = rowsPath(data.train, "data.train");
  const evalPath = data.eval === undefined ? undefined : rowsPath(data.eval, "data.eval");
  if (data.eval !== undefined && data.numDev !== undefined) {
    throw invalid("give either data.eval (a file), or data.numDev (rows of data.train)");
  }
  if (evalEvery > 0 && evalPart(data) === undefined) {
    throw invalid(
      `evalEvery is ${evalEvery}, but data.eval is missing; give data.eval, or leave evalEvery out`,
    );
  }
  return {
    ...resolved,
    ...resolveAdapters(resolved),
    model: modelPath(resolved.model),
    data: {
      ...data,
      train: trainPath,
      ...(evalPath && { eval: evalPath }),
      ...(data.chatTemplate && { chatTemplate: resolve(data.chatTemplate) }),
    },
    schedule: {
      ...resolved.schedule,
      ...(resolved.schedule.trace && { trace: resolve(resolved.schedule.trace) }),
    },
    output: resolve(resolved.output),
  };
}

/** Checks an evaluation's configuration. @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveEvaluateConfig(config: EvaluateConfig): ResolvedEvaluateConfig {
  const resolved = check(evaluateSchema, config);
  const { model, run, data, demonstrations, shots, numEval } = resolved;
  if (typeof data === "string") rowsPath(data, "data");
  if (typeof demonstrations === "string") rowsPath(demonstrations, "demonstrations");
  if (shots > 0 && demonstrations === undefined && run === undefined) {
    throw invalid(`shots is ${shots}, but demonstrations is missing; give a file or rows`);
  }
  if (numEval !== undefined && data === undefined) {
    throw invalid(`numEval is ${numEval}, but data is missing; give the rows it draws from`);
  }
  if (run !== undefined) return { ...resolved, run: resolve(run) };
  if (model === undefined) throw invalid("give model (a base model), or run (a run directory)");
  if (data === undefined) throw invalid("data is missing; it must be a file or a list of rows");
  resolveTask(resolved, undefined);
  return resolved;
}

/** Checks a generation's configuration. @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveGenerateConfig(config: GenerateConfig): ResolvedGenerateConfig {
  const resolved = check(generateSchema, config);
  const { model, run, prompts, promptsFile, temperature } = resolved;
  if (run === undefined && model === undefined) {
    throw invalid("give model (a base model), or run (a run directory)");
  }
  if ((prompts === undefined) === (promptsFile === undefined)) {
    throw invalid("give either prompts (what to continue), or promptsFile (a file of them)");
  }
  if (promptsFile !== undefined && extname(promptsFile) !== ".txt") {
    readerOf(promptsFile, "promptsFile");
  }
  if (temperature === 0 && (resolved.topK > 0 || resolved.topP < 1)) {
    const what = resolved.topK > 0 ? `topK is ${resolved.topK}` : `topP is ${resolved.topP}`;
    throw invalid(
      `${what}, but temperature 0 always takes the likeliest token; give a temperature`,
    );
  }
  return { ...resolved, ...(run !== undefined && { run: resolve(run) }) };
}

/** Checks an export's configuration. @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveExportConfig(config: ExportConfig): ResolvedExportConfig {
  const resolved = check(exportSchema, config);
  return { ...resolved, run: resolve(resolved.run), out: resolve(resolved.out) };
}

function nameOf(task: ResolvedTask["task"]): string {
  return typeof task === "string" ? task : task.name;
}

/** The values of a configuration that say what is done with rows. */
function taskPart(config: object | undefined): Record<string, unknown> {
  const values = new Map(Object.entries(config ?? {}));
  const names = leaves(taskSchema).map(({ path }) => path.join("."));
  const given = names.filter((name) => values.get(name) !== undefined);
  return Object.fromEntries(given.map((name) => [name, values.get(name)]));
}

/**
 * What an evaluation does with rows: as given, then as the run has it unless the task is another, then
 * as by default. @throws Zo2Error ZO2_INVALID_CONFIG
 */
export function resolveTask(
  config: ResolvedEvaluateConfig,
  run: ResolvedTrainConfig | undefined,
): ResolvedTask {
  const { task } = config;
  const isOther = run && task !== undefined && nameOf(task) !== nameOf(run.data.task);
  const base = isOther ? { maxLength: run.data.maxLength } : taskPart(run?.data);
  const resolved = check(taskSchema, { ...base, ...taskPart(config) });
  taskOf(resolved);
  return resolved;
}
