// What a plan is asked for, as its users see it (types.ts).
import type { Filled } from "./filled.js";
import type { MethodConfig } from "./method-types.js";
import type {
  AblationConfig,
  LoraConfig,
  NamePattern,
  PlacementConfig,
  PrefixTuningConfig,
  Size,
  Storage,
} from "./types.js";

/** What a plan is asked for: {@link plan}. */
export interface PlanConfig {
  /** Name of a shape ("opt-175b" ...), config.json, directory, .gguf file or name on the Hub. */
  model: string;
  /** Rows of a pass (default 1). */
  batch?: number | undefined;
  /** As in {@link TrainConfig}. */
  gradientAccumulationSteps?: number | undefined;
  /** Tokens of a row (default 2048, or what the model reads at most). */
  length?: number | undefined;
  /** As in {@link MethodConfig}; directions, distribution and rank are the method's by default. */
  method?: MethodConfig["name"] | undefined;
  directions?: number | undefined;
  distribution?: "gaussian" | "rademacher" | undefined;
  rank?: number | undefined;
  /** Type of stored weights (default "f16"). */
  storage?: Storage | undefined;
  /** As in {@link TrainConfig}. */
  trainable?: NamePattern | undefined;
  lora?: Omit<LoraConfig, "adapter"> | undefined;
  prefixTuning?: Omit<PrefixTuningConfig, "adapter" | "initByRealAct"> | undefined;
  headTuning?: boolean | undefined;
  /** As in {@link ScheduleConfig}. */
  roundEvery?: "auto" | number | undefined;
  /** Ceiling of the device; default: what a GPU has beside CUDA's context; of "cpu" none. */
  memory?: Size | undefined;
  hostMemory?: Size | undefined;
  offload?: PlacementConfig["offload"];
  extentBytes?: Size | undefined;
  slots?: number | undefined;
  lookAhead?: number | undefined;
  placement?: "auto" | number | undefined;
  /** Of device "cpu", whose scratch grows with them. */
  threads?: number | undefined;
  ablation?: AblationConfig | undefined;
  /** Machine that the step time is predicted for: "cpu" (this one, measured; default), or a GPU. */
  device?: string | undefined;
  /** Steps of the run, for what it writes (default 20000). */
  steps?: number | undefined;
  /** Predict the step time (default true). */
  simulate?: boolean | undefined;
  /** File for the simulated timeline, in the format of Chrome's tracing and Perfetto. */
  trace?: string | undefined;
}
type PlanSizes = "memory" | "hostMemory" | "extentBytes";
/** {@link PlanConfig} with its defaults; sizes are bytes. */
export interface ResolvedPlanConfig
  extends Omit<
    Filled<
      PlanConfig,
      | "trainable"
      | "lora"
      | "prefixTuning"
      | "length"
      | "directions"
      | "distribution"
      | "rank"
      | "slots"
      | "trace"
    >,
    PlanSizes | "ablation"
  > {
  memory?: number | undefined;
  hostMemory?: number | undefined;
  extentBytes?: number | undefined;
  ablation: Filled<AblationConfig, never>;
}
