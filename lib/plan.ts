// Where everything would be, and how long a step would take: without weights, on any machine.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { checkAlone, nativeLora, nativePrefix } from "./config/adapters.js";
import { check, invalid } from "./config/problems.js";
import { constantsOf, plannedMethod } from "./config/methods.js";
import { writeEveryOf } from "./config/rounding.js";
import { storedAs } from "./config/storage.js";
import { planSchema } from "./config/schema.js";
import { inTerms, planTerms } from "./config/terms.js";
import type { PlanConfig } from "./config/plan-types.js";
import { isThere } from "./hub/cache.js";
import { fromIo, fromNative, Zo2Error } from "./errors.js";
import { measureCpu } from "./measure-cpu.js";
import { locateModel, nativePlacement, nativeTrained } from "./model.js";
import type { CpuFigures, DeviceProfile, NativePlan, NativePrediction } from "./native-plan.js";
import { native } from "./native.js";
import { shapeNames, shapeOf } from "./shapes.js";

/** What {@link plan} resolves to; bytes, milliseconds. */
export interface Plan extends Omit<NativePlan, "predicted"> {
  model: string;
  batch: number;
  length: number;
  storage: string;
  /** What a run of `steps` steps writes to disk. */
  diskWriteBytes: number;
  steps: number;
  /** By the simulator: the production schedule on a virtual clock, with a device's figures. */
  predicted: NativePrediction | null;
}

const defaultLength = 2048;

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** config.json of a file, a directory, a GGUF file, a shape's name or an id: a path that exists wins. */
async function configOf(model: string): Promise<Record<string, unknown>> {
  const shape = (await isThere(model)) ? undefined : shapeOf(model);
  if (shape) return shape;
  const path = await locateModel(model, {}, "config").catch((error: unknown) => {
    if (!(error instanceof Zo2Error) || error.code !== "ZO2_INVALID_MODEL") throw error;
    throw new Zo2Error(
      "ZO2_INVALID_MODEL",
      `${error.message}; or one of the shapes ${shapeNames.join(", ")}`,
      { cause: error },
    );
  });
  if (path.endsWith(".gguf")) return native.modelConfig(path);
  const file = (await isFile(path)) ? path : join(path, "config.json");
  try {
    return JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new Zo2Error("ZO2_INVALID_MODEL", `${file} is not JSON: ${error.message}`);
    }
    throw fromIo(error, "read", file);
  }
}

/** By default as many as the model reads behind a prefix. */
function lengthOf(length: number | undefined, config: Record<string, unknown>, prefix = 0): number {
  const { max_position_embeddings: positions, n_positions: older } = config;
  const most = Number(positions ?? older ?? defaultLength);
  return length ?? Math.min(defaultLength, most - prefix);
}

/** Devices that plans can be made for, with where each figure was read. */
export function deviceProfiles(): DeviceProfile[] {
  return native.deviceProfiles();
}

/** Steps between two write-backs: a simulation takes two such rounds, and each step all records that wait. */
const mostSimulated = 100;

/**
 * Plans a training run: placement, slots, bytes of every allocation, traffic, and the time of a
 * step in the simulator. Needs no weights. Blocks the caller while it computes, and for about five seconds
 * where this machine is measured. @throws Zo2Error ZO2_OUT_OF_MEMORY naming the least
 * budget that works, ZO2_INVALID_CONFIG, ZO2_INVALID_MODEL
 * @param figures for device "cpu": of {@link measureCpu}, of this machine or another, at another
 * time; without them this machine is measured now
 */
export async function plan(config: PlanConfig, figures?: CpuFigures): Promise<Plan> {
  const resolved = check(planSchema, config);
  const { model, batch, storage, device, simulate, steps, roundEvery } = resolved;
  checkAlone(resolved);
  if (simulate && roundEvery !== "auto" && roundEvery > mostSimulated) {
    const advice = "give simulate: false (--simulate false), or a smaller one";
    throw invalid(`roundEvery is ${roundEvery}; up to ${mostSimulated} are simulated: ${advice}`);
  }
  const method = plannedMethod(resolved);
  const known = deviceProfiles().map(({ name }) => name);
  if (device !== "cpu" && !known.includes(device)) {
    throw invalid(`device is "${device}"; it must be one of cpu, ${known.join(", ")}`);
  }
  const json = await configOf(model);
  const prefix = nativePrefix(resolved.prefixTuning, 0, "");
  const length = lengthOf(resolved.length, json, prefix?.numVirtualTokens);
  try {
    const made = native.plan({
      ...nativePlacement(resolved),
      threads: resolved.threads,
      ...nativeTrained({
        trainable: resolved.trainable,
        lora: nativeLora(resolved.lora, 0),
        prefix,
        headTuning: resolved.headTuning,
      }),
      name: model,
      config: JSON.stringify(json),
      storage: storedAs(method, storage),
      batchSize: batch,
      gradientAccumulationSteps: resolved.gradientAccumulationSteps,
      length,
      method: method.name,
      epsilon: 1,
      clip: 0,
      directions: method.directions,
      distribution: method.distribution,
      ...constantsOf(method),
      // A GPU's slow tier is host memory, where writing costs little.
      roundEvery: device === "cpu" || roundEvery !== "auto" ? writeEveryOf(resolved) : 1,
      deferredUpdate: resolved.ablation.deferredUpdate,
      profile: device === "cpu" ? (figures ?? measureCpu()) : device,
      simulate,
      ...(resolved.trace !== undefined && { trace: resolved.trace }),
    });
    const { predicted = null, ...rest } = made;
    const diskWriteBytes = rest.diskWriteBytesPerStep * steps;
    return { model, batch, length, storage, ...rest, diskWriteBytes, steps, predicted };
  } catch (error) {
    throw inTerms(planTerms, fromNative(error));
  }
}
