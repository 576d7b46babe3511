// What each method is given where a user gives nothing, and which constants it has (docs/methods.md).
import { invalid } from "./problems.js";
import type { MethodConfig, ResolvedTrainConfig, TrainConfig } from "./types.js";

type Constant =
  | "saturatingAlpha"
  | "lambdaReg"
  | "adamBeta2"
  | "adamEpsilon"
  | "rank"
  | "updateInterval";
interface Method {
  /** Beside the schema's, which are mezo's. */
  defaults: Omit<MethodConfig, "name">;
  fewestDirections: number;
}

const methods: Record<NonNullable<MethodConfig["name"]>, Method> = {
  mezo: { defaults: {}, fewestDirections: 1 },
  fzoo: {
    defaults: { directions: 8, distribution: "rademacher", learningRate: 5e-5, epsilon: 1e-4 },
    fewestDirections: 2,
  },
  "spsa1.5": {
    defaults: {
      directions: 8,
      distribution: "rademacher",
      learningRate: 1e-4,
      epsilon: 1e-4,
      saturatingAlpha: 0.1,
      lambdaReg: 1,
    },
    fewestDirections: 1,
  },
  es: { defaults: { directions: 15, learningRate: 5e-4 }, fewestDirections: 1 },
  meazo: {
    defaults: { learningRate: 1e-5, adamBeta2: 0.99, adamEpsilon: 1e-8 },
    fewestDirections: 1,
  },
  lozo: { defaults: { rank: 2, updateInterval: 50 }, fewestDirections: 1 },
};

type Name = keyof typeof methods;
export const methodNames: [Name, ...Name[]] = Object.keys(methods) as [Name, ...Name[]];

const constants: readonly Constant[] = [
  "saturatingAlpha",
  "lambdaReg",
  "adamBeta2",
  "adamEpsilon",
  "rank",
  "updateInterval",
];

const of = (name: string | undefined): Method | undefined =>
  Object.hasOwn(methods, name ?? "mezo") ? methods[(name ?? "mezo") as Name] : undefined;

/** MeZO's for LoRA and prefixes (its smaller learning rates): few weights, which are moved further. */
const forLora: Omit<MethodConfig, "name"> = { learningRate: 5e-5, epsilon: 1e-2 };
const forPrefix: Omit<MethodConfig, "name"> = { learningRate: 1e-3, epsilon: 1e-1 };

function defaultsOf(config: TrainConfig): Omit<MethodConfig, "name"> | undefined {
  const { name = "mezo" } = config.method ?? {};
  if (name === "mezo" && config.lora) return forLora;
  if (name === "mezo" && config.prefixTuning) return forPrefix;
  return of(name)?.defaults;
}

/** The configuration with its method's defaults in place of the schema's; nothing is checked. */
export function withMethodDefaults(config: TrainConfig): TrainConfig {
  const { method = {} } = config;
  if (typeof method !== "object" || method === null) return config;
  const given = Object.entries(method).filter(([, value]) => value !== undefined);
  return { ...config, method: { ...defaultsOf(config), ...Object.fromEntries(given) } };
}

/** @throws Zo2Error ZO2_INVALID_CONFIG for a constant of another method, or too few directions */
export function checkMethod(method: ResolvedTrainConfig["method"]): void {
  const { defaults, fewestDirections = 1 } = of(method.name) ?? { defaults: {} };
  for (const name of constants) {
    if (method[name] === undefined || name in defaults) continue;
    throw invalid(`method.${name} is given, but ${method.name} has no such constant; leave it out`);
  }
  if (method.directions < fewestDirections) {
    throw invalid(
      `method.directions is ${method.directions}; ${method.name} needs ${fewestDirections} at least`,
    );
  }
}

/** Those of the method, for the engine. */
export function constantsOf(
  method: ResolvedTrainConfig["method"],
): Partial<Record<Constant, number>> {
  const given = constants.map((name) => [name, method[name]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}
