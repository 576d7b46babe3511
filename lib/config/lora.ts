// What adapters are, as far as a configuration says it.
import { resolve } from "node:path";
import type { NativeLora } from "../native.js";
import { invalid } from "./problems.js";
import type { LoraConfig, ResolvedTrainConfig } from "./types.js";

const defaults = { r: 8, loraAlpha: 16 };

/** With its defaults, and an absolute path. @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveLora(config: ResolvedTrainConfig): LoraConfig | undefined {
  const { lora, trainable, headTuning } = config;
  if ([lora, trainable, headTuning || undefined].filter((x) => x !== undefined).length > 1) {
    throw invalid(
      "give one of trainable (tensors of the model), lora (adapters beside it) and headTuning (its head)",
    );
  }
  if (lora === undefined) return undefined;
  const { adapter, ...shape } = lora;
  if (adapter === undefined) return { ...defaults, ...lora };
  const [name] = Object.entries(shape).find(([, value]) => value !== undefined) ?? [];
  if (name === undefined) return { adapter: resolve(adapter) };
  throw invalid(`lora.${name} is given, but lora.adapter has its own; leave one of them out`);
}

/** In the engine's terms. @param seed the run's */
export function nativeLora(lora: LoraConfig | undefined, seed: number): NativeLora | undefined {
  if (lora === undefined) return undefined;
  const given = Object.entries(lora).filter(([, value]) => value !== undefined);
  const own = Object.fromEntries(given) as LoraConfig;
  return { ...(own.adapter === undefined && defaults), ...own, seed };
}
