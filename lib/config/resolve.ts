// From what a user gives to what a run is made from.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { taskOf } from "../tasks/registry.js";
import { check, invalid } from "./problems.js";
import { evaluateSchema, scheduleSchema, trainSchema } from "./schema.js";
import type {
  EvaluateConfig,
  ResolvedEvaluateConfig,
  ResolvedSchedule,
  ResolvedTrainConfig,
  ScheduleConfig,
  TrainConfig,
} from "./types.js";

function checkSchedule({ offload, isa }: ResolvedSchedule): void {
  if (offload === "host" || offload === "disk") {
    throw invalid(
      `schedule.offload is "${offload}"; this version keeps weights resident: use "auto" or "none"`,
    );
  }
  if (isa.trim() === "") throw invalid('schedule.isa is empty; use "auto"');
}

/** A schedule with every default. @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveSchedule(schedule: ScheduleConfig): ResolvedSchedule {
  const resolved = check(scheduleSchema, schedule);
  checkSchedule(resolved);
  return resolved;
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
  const resolved = check(trainSchema, config);
  checkSchedule(resolved.schedule);
  taskOf(resolved.data);
  const { data, evalEvery } = resolved;
  if (evalEvery > 0 && data.eval === undefined) {
    throw invalid(
      `evalEvery is ${evalEvery}, but data.eval is missing; give data.eval, or leave evalEvery out`,
    );
  }
  return {
    ...resolved,
    model: modelPath(resolved.model),
    data: { ...data, train: resolve(data.train), ...(data.eval && { eval: resolve(data.eval) }) },
    output: resolve(resolved.output),
  };
}

/** Checks an evaluation's configuration. @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveEvaluateConfig(config: EvaluateConfig): ResolvedEvaluateConfig {
  const resolved = check(evaluateSchema, config);
  checkSchedule(resolved.schedule);
  const { model, run, data, task } = resolved;
  if ((model === undefined) === (run === undefined)) {
    throw invalid("give either model (a base model) or run (a run directory)");
  }
  if (model !== undefined && data === undefined) {
    throw invalid("data is missing; it must be a JSONL file or a list of rows");
  }
  const { labelField = "label" } = resolved;
  if (task !== undefined) taskOf({ ...resolved, task, labelField });
  return { ...resolved, ...(run !== undefined && { run: resolve(run) }) };
}
