// What is trained beside a model, as far as a configuration says it: adapters, or a prefix.
import { resolve } from "node:path";
import type { NativeLora, NativePrefix } from "../native.js";
import type { ResolvedPlanConfig } from "./plan-types.js";
import { invalid } from "./problems.js";
import type { LoraConfig, PrefixTuningConfig, ResolvedTrainConfig } from "./types.js";

const ofLora = { r: 8, loraAlpha: 16 };
const ofPrefix = { numVirtualTokens: 5 };

/** @throws Zo2Error ZO2_INVALID_CONFIG where two of them are given */
export function checkAlone({
  trainable,
  lora,
  prefixTuning,
  headTuning,
}: Pick<ResolvedPlanConfig, "trainable" | "lora" | "prefixTuning" | "headTuning">): void {
  const given = [trainable, lora, prefixTuning, headTuning || undefined];
  if (given.filter((x) => x !== undefined).length <= 1) return;
  throw invalid(
    "give one of trainable (tensors of the model), lora (adapters beside it), prefixTuning (keys and " +
      "values before a text's) and headTuning (its head)",
  );
}

/** With its defaults, or the absolute path of where it has its own. */
function resolved<T extends { adapter?: string | undefined }>(
  name: string,
  given: T,
  defaults: Omit<T, "adapter">,
): T {
  const { adapter, ...shape } = given;
  if (adapter === undefined) return { ...defaults, ...given };
  const [field] = Object.entries(shape).find(([, value]) => value !== undefined) ?? [];
  if (field === undefined) return { adapter: resolve(adapter) } as T;
  throw invalid(
    `${name}.${field} is given, but ${name}.adapter has its own; leave one of them out`,
  );
}

/** @throws Zo2Error ZO2_INVALID_CONFIG */
export function resolveAdapters(
  config: ResolvedTrainConfig,
): Pick<ResolvedTrainConfig, "lora" | "prefixTuning"> {
  checkAlone(config);
  const { lora, prefixTuning } = config;
  return {
    ...(lora && { lora: resolved("lora", lora, ofLora) }),
    ...(prefixTuning && { prefixTuning: resolved("prefixTuning", prefixTuning, ofPrefix) }),
  };
}

function inEngine<T extends { adapter?: string | undefined }>(
  config: T,
  defaults: Omit<T, "adapter">,
  seed: number,
): T & { seed: number } {
  const given = Object.entries(config).filter(([, value]) => value !== undefined);
  const own = Object.fromEntries(given) as T;
  return { ...(own.adapter === undefined && defaults), ...own, seed };
}

/** In the engine's terms. @param seed the run's */
export function nativeLora(lora: LoraConfig | undefined, seed: number): NativeLora | undefined {
  return lora && inEngine(lora, ofLora, seed);
}

/**
 * In the engine's terms.
 * @param seed the run's
 * @param directory of the prefix that the run made, if it made one (lib/real-prefix.ts)
 */
export function nativePrefix(
  prefix: PrefixTuningConfig | undefined,
  seed: number,
  directory: string,
): NativePrefix | undefined {
  const { initByRealAct = false, ...own } = prefix ?? {};
  if (initByRealAct) return { adapter: directory, seed };
  return prefix && inEngine(own, ofPrefix, seed);
}

/** Virtual tokens of a prefix that has yet to be made; undefined where none is. */
export function tokensToRealise(prefix: PrefixTuningConfig | undefined): number | undefined {
  return prefix?.initByRealAct ? (prefix.numVirtualTokens ?? ofPrefix.numVirtualTokens) : undefined;
}
