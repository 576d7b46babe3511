// What each method is given where a user gives nothing, and which constants it has (docs/methods.md); why these:
// docs/decisions/0018-method-defaults.md.
import { invalid } from "./problems.js";
import type { MethodConfig, MethodConstant, MethodConstants } from "./method-types.js";
import type { ResolvedPlanConfig } from "./plan-types.js";
import type { ResolvedTrainConfig, Storage, TrainConfig } from "./types.js";

interface Method {
  /** Beside the schema's, which are mezo's. */
  defaults?: Omit<MethodConfig, "name" | MethodConstant>;
  /** With their defaults. */
  constants?: MethodConstants;
  /** One, where nothing is said. */
  fewestDirections?: number;
  /** The one storage type whose scales it trains; adapters have none. */
  scalesOf?: Storage;
}

const methods: Record<NonNullable<MethodConfig["name"]>, Method> = {
  mezo: {},
  fzoo: {
    defaults: { directions: 8, distribution: "rademacher", learningRate: 1e-3 },
    fewestDirections: 2,
  },
  "spsa1.5": {
    defaults: { directions: 4, distribution: "rademacher", learningRate: 1e-5 },
    constants: { saturatingAlpha: 0.1, lambdaReg: 1 },
  },
  es: { defaults: { directions: 4, learningRate: 1e-3 } },
  meazo: {
    defaults: { learningRate: 1e-5 },
    constants: { adamBeta2: 0.99, adamEpsilon: 1e-8 },
  },
  lozo: { constants: { rank: 2, updateInterval: 50 } },
  subzero: { constants: { rank: 8, updateInterval: 1000 } },
  sparse: { constants: { sparsity: 0.8 } },
  adamezo: {
    defaults: { learningRate: 1e-5 },
    constants: { window: 10, adamBeta1: 0.7, adamBeta2: 0.9, adamEpsilon: 1e-5 },
  },
  qzo: { defaults: { learningRate: 1e-3, epsilon: 1e-2, clip: 100 }, scalesOf: "q8" },
};

type Name = keyof typeof methods;
export const methodNames: [Name, ...Name[]] = Object.keys(methods) as [Name, ...Name[]];

const constants = new Set(
  Object.values(methods).flatMap((method) => Object.keys(method.constants ?? {})),
) as ReadonlySet<MethodConstant>;

const of = (name: string | undefined): Method | undefined =>
  Object.hasOwn(methods, name ?? "mezo") ? methods[(name ?? "mezo") as Name] : undefined;

/** The storage type whose scales a method trains; undefined: it trains weights. */
export function scalesOf(name: string): Storage | undefined {
  return of(name)?.scalesOf;
}

/** MeZO's for LoRA and prefixes (its smaller learning rates): few weights, which are moved further. */
const forLora: Omit<MethodConfig, "name"> = { learningRate: 5e-5, epsilon: 1e-2 };
const forPrefix: Omit<MethodConfig, "name"> = { learningRate: 1e-3, epsilon: 1e-1 };

function defaultsOf(config: TrainConfig): Omit<MethodConfig, "name"> {
  const { name = "mezo" } = config.method ?? {};
  if (name === "mezo" && config.lora) return forLora;
  if (name === "mezo" && config.prefixTuning) return forPrefix;
  const method = of(name);
  return { ...method?.defaults, ...method?.constants };
}

/** The configuration with its method's defaults in place of the schema's; nothing is checked. */
export function withMethodDefaults(config: TrainConfig): TrainConfig {
  if (typeof config !== "object" || config === null || Array.isArray(config)) return config;
  const { method = {} } = config;
  if (typeof method !== "object" || method === null) return config;
  const given = Object.entries(method).filter(([, value]) => value !== undefined);
  return { ...config, method: { ...defaultsOf(config), ...Object.fromEntries(given) } };
}

/** What a method's cost hangs on. */
export type Cost = Pick<
  ResolvedTrainConfig["method"],
  "name" | "directions" | "distribution" | MethodConstant
>;

/** @throws Zo2Error ZO2_INVALID_CONFIG for a constant of another method, or too few directions */
export function checkMethod(method: Cost): void {
  const { constants: own = {}, fewestDirections = 1 } = of(method.name) ?? {};
  for (const name of constants) {
    if (method[name] === undefined || name in own) continue;
    throw invalid(`method.${name} is given, but ${method.name} has no such constant; leave it out`);
  }
  if (method.directions < fewestDirections) {
    throw invalid(
      `method.directions is ${method.directions}; ${method.name} needs ${fewestDirections} at least`,
    );
  }
}

/**
 * @throws Zo2Error ZO2_INVALID_CONFIG where weights have not what the method trains
 * @param lora of adapters; undefined: there are none
 */
export function checkTrained(
  method: Pick<Cost, "name">,
  storage: Storage,
  { lora, prefixTuning }: Pick<TrainConfig, "lora" | "prefixTuning">,
): void {
  const scales = scalesOf(method.name);
  if (scales === undefined) return;
  const trains = `${method.name} trains the scales of ${scales}`;
  if (storage !== scales) {
    throw invalid(
      `storage is "${storage}", but ${trains}; give storage "${scales}", or another method`,
    );
  }
  const given = lora ? "lora" : prefixTuning ? "prefixTuning" : undefined;
  if (given === undefined) return;
  throw invalid(`${given} is given, but ${trains}, of which it has none; leave one of them out`);
}

/** Those of the method, for the engine. */
export function constantsOf(method: Cost): Partial<Record<MethodConstant, number>> {
  const given = [...constants].map((name) => [name, method[name]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/**
 * The method of a plan, with its defaults.
 * @throws Zo2Error ZO2_INVALID_CONFIG, as {@link checkMethod} and {@link checkTrained}
 */
export function plannedMethod(config: ResolvedPlanConfig): Cost {
  const { method: name } = config;
  const { defaults, constants: own } = of(name) ?? {};
  const { directions = 1, distribution = "gaussian" } = defaults ?? {};
  const given = {
    name,
    ...own,
    directions: config.directions ?? directions,
    distribution: config.distribution ?? distribution,
    ...(config.rank !== undefined && { rank: config.rank }),
  };
  checkMethod(given);
  checkTrained(given, config.storage, config);
  return given;
}
