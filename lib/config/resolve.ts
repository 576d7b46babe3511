// From what a user gives to what a run is made from.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { taskOf } from "../tasks/registry.js";
import { check, invalid, show } from "./problems.js";
import { evaluateSchema, exportSchema, trainSchema } from "./schema.js";
import type {
  EvaluateConfig,
  ExportConfig,
  ResolvedEvaluateConfig,
  ResolvedExportConfig,
  ResolvedSchedule,
  ResolvedTrainConfig,
  TrainConfig,
} from "./types.js";

/** Everything stays on the device in this version: a value that could only be ignored is refused. */
function checkSchedule(schedule: ResolvedSchedule): void {
  const { offload } = schedule;
  const resident = "this version keeps weights resident";
  if (offload === "host" || offload === "disk") {
    throw invalid(`schedule.offload is ${show(offload)}; ${resident}: use "auto" or "none"`);
  }
  for (const name of ["hostMemory", "disk"] as const) {
    if (schedule[name] === undefined) continue;
    throw invalid(
      `schedule.${name} is ${schedule[name]}; ${resident}: leave it out, and give schedule.memory`,
    );
  }
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
  const { model, run, data } = resolved;
  if (run !== undefined) return { ...resolved, run: resolve(run) };
  if (model === undefined) throw invalid("give model (a base model), or run (a run directory)");
  if (data === undefined) {
    throw invalid("data is missing; it must be a JSONL file or a list of rows");
  }
  return resolved;
}

/** Checks an export's configuration. @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveExportConfig(config: ExportConfig): ResolvedExportConfig {
  const resolved = check(exportSchema, config);
  return { ...resolved, run: resolve(resolved.run), out: resolve(resolved.out) };
}
