// The configuration as its users see it. schema.ts checks it and holds every default; at the end of
// that file the compiler proves that the two say the same.

import type { ChatMessage, TaskReference } from "../tasks/task.js";
import type { Filled } from "./filled.js";
import type { MethodConfig, ResolvedMethod } from "./method-types.js";

/** Bytes, or a string with a unit: "500MB", "4GB" (10^9), "4GiB" (2^30). */
export type Size = number | string;

/**
 * Type that matrices are stored in (docs/storage.md). "bf16+8" is read like bf16 and trained nearly like
 * f32, in 3 bytes; "q8" takes 8.5 bits.
 */
export type Storage = "f32" | "bf16" | "f16" | "bf16+8" | "q8";

/** Rows, and what is done with each of them. */
export interface DataConfig {
  /** File to train on (docs/data.md), or a data set on the Hugging Face Hub (docs/hub.md). */
  train: string;
  /** As `train`, to evaluate on, while training (`evalEvery`) and at its end. */
  eval?: string | undefined;
  /** Train on so many rows of `train`, drawn by `drawSeed` (default: all). */
  numTrain?: number | undefined;
  /** Instead of `eval`: so many other rows of `train`, drawn by `drawSeed`. */
  numDev?: number | undefined;
  /** Integer from 0 to 2^32 - 1 (default 0); draws the rows that MeZO draws with it. */
  drawSeed?: number | undefined;
  /**
   * Options are trained by the cross-entropy over all of them; false: the tokens of the right one are
   * predicted (default: as the task has it).
   */
  trainAsClassification?: boolean | undefined;
  /** "lm" (default), "options", "sst2" ... (docs/tasks.md), or what defineTask() makes. */
  task?: string | TaskReference | undefined;
  /** Prompt of an "options" task; `{field}` stands for a field of the row, `{{` for a brace. */
  template?: string | undefined;
  /** Texts that an "options" task chooses from, appended to the prompt as they are. */
  options?: string[] | undefined;
  /** Field that holds the right option (default "label"). */
  labelField?: string | undefined;
  /** Values of `labelField`, in the order of `options`; without it the field holds an index. */
  labels?: (string | number)[] | undefined;
  /** Field of the prompt of "completion" and "chat" rows (default "prompt"). */
  promptField?: string | undefined;
  /** Field of the completion of "completion" and "chat" rows (default "completion"). */
  completionField?: string | undefined;
  /** Field of the messages of "chat" rows (default "messages"). */
  messagesField?: string | undefined;
  /** Predict completions only, and in a conversation what the assistant says (default true). */
  completionOnlyLoss?: boolean | undefined;
  /** Jinja file used instead of the model's own chat template. */
  chatTemplate?: string | undefined;
  /** Longest sequence in tokens (default: what the model allows). */
  maxLength?: number | undefined;
}

/** Names of {@link DataConfig} that say which rows there are, and how they are trained on. */
export type RowsOnly =
  | "train"
  | "eval"
  | "numTrain"
  | "numDev"
  | "drawSeed"
  | "trainAsClassification";
/** The part of {@link DataConfig} that says what is done with rows. */
export type TaskConfig = Omit<DataConfig, RowsOnly>;

/** Parts of the schedule to do without. No result depends on them. */
export interface AblationConfig {
  /** Lanes work at the same time (default true). */
  overlap?: boolean | undefined;
  /** Slots keep their memory from one extent to the next (default true). */
  reuseSlots?: boolean | undefined;
  /** The update of a step rides on the upload of the next (default true); only for training. */
  deferredUpdate?: boolean | undefined;
  /** What is below the first trained tensor is computed once for all branches (default true). */
  shareBranches?: boolean | undefined;
  /** The engine waits for all lanes behind every extent, as ZO2's does (default false). */
  hostSync?: boolean | undefined;
  /** Rounding steps that a write to the slow tier waits for (default 0). */
  writeLag?: number | undefined;
}

/** Where weights are put, and what computes on them. */
export interface PlacementConfig {
  device?: "auto" | "cpu" | "cuda" | undefined;
  /** What multiplies on a GPU: zo2's kernels (default), or NVIDIA's cuBLASLt, found at run time (docs/cuda.md). */
  matmul?: "zo2" | "cublaslt" | undefined;
  /** Ceiling of the device tier (for the CPU: RAM; of a GPU, CUDA's context is inside); default: none. */
  memory?: Size | undefined;
  /** Bytes of one extent, the unit that moves (default: 64 MiB, or less where `memory` asks for it). */
  extentBytes?: Size | undefined;
  /** Where weights that do not stay on the device wait. */
  offload?: "auto" | "none" | "host" | "disk" | undefined;
  /** Ceiling of weights that wait in host memory; default: none. */
  hostMemory?: Size | undefined;
  /** Slots that extents pass through (default: 6 or more, as `memory` allows). */
  slots?: number | undefined;
  /** Extents loaded ahead of the one in use at most; 0 (default): as many as there are slots. */
  lookAhead?: number | undefined;
  /** Transformer blocks that stay on the device (default "auto": as many as fit). */
  placement?: "auto" | number | undefined;
  /** Worker threads; 0 (default): one per core. */
  threads?: number | undefined;
  /** "auto" or one of doctor().isas. */
  isa?: string | undefined;
}

/** {@link PlacementConfig}, and how rows are evaluated. */
export interface EvaluateScheduleConfig extends PlacementConfig {
  /** Type of stored weights (default "f32"; with a run, the run's). */
  storage?: Storage | undefined;
  /** Tokens of one evaluation batch at most (default 4096); fewer where `memory` asks for it. */
  evalBatchTokens?: number | undefined;
}

/** Where weights live and how they move. */
export interface ScheduleConfig extends EvaluateScheduleConfig {
  /** File for the timeline of the run's lanes, in the format of Chrome's tracing and Perfetto. */
  trace?: string | undefined;
  /** Other schedules, to compare with; all of them are slower. */
  ablation?: AblationConfig | undefined;
  /** Ceiling of the run's store on disk; default: none. */
  disk?: Size | undefined;
  /** Steps between two roundings to the storage type (default "auto"). */
  roundEvery?: "auto" | number | undefined;
  rounding?: "stochastic" | "nearest" | undefined;
  /**
   * Steps between snapshots of the weights, which shorten the replay of a resumed run and take up to
   * twice the trained weights' bytes in `output` (default 1000; 0: never).
   */
  checkpointEvery?: number | undefined;
}

/** One regular expression (JavaScript's) of whole names, or a list of names or their last parts. */
export type NamePattern = string | string[];

/** LoRA, with PEFT's names: y = x Wᵀ + (loraAlpha / r) (x Aᵀ) Bᵀ. */
export interface LoraConfig {
  /** Rank (default 8). */
  r?: number | undefined;
  /** Scale of what adapters add, times r (default 16). */
  loraAlpha?: number | undefined;
  /**
   * Modules that get adapters, as `trainable` names tensors; "all-linear": all but the head
   * (default: queries and values).
   */
  targetModules?: NamePattern | undefined;
  /** Instead of all these: directory of a PEFT adapter to begin from. */
  adapter?: string | undefined;
}

/** Prefix tuning, with PEFT's names: trained keys and values before those of every text. */
export interface PrefixTuningConfig {
  /** Virtual tokens that have them (default 5). */
  numVirtualTokens?: number | undefined;
  /**
   * Begin as the keys and values that the model itself has for random tokens, as MeZO's prefixes do
   * (default false: small random numbers).
   */
  initByRealAct?: boolean | undefined;
  /** Instead: directory of a PEFT prefix to begin from. */
  adapter?: string | undefined;
}

/** Everything {@link train} needs to know. */
export interface TrainConfig {
  /** Directory of Hugging Face files, a .gguf file, or a name on the Hugging Face Hub: "org/name" (docs/hub.md). */
  model: string;
  data: DataConfig;
  method?: MethodConfig | undefined;
  /**
   * What the method minimises: the task's loss (default), or a measure of the task, which it
   * maximises: "accuracy" of options, "f1" or "exactMatch" of generated answers. Functions of one's
   * own go to {@link TrainerOptions}.
   */
  objective?: "loss" | "accuracy" | "f1" | "exactMatch" | undefined;
  /**
   * What is trained; all else stays as it is (default: everything). As PEFT's target_modules, of
   * tensors: one text is a regular expression that a tensor's whole name must match, a list holds
   * names of tensors or of their modules, in full or their last parts ("lm_head", "v_proj.weight").
   */
  trainable?: NamePattern | undefined;
  /** Train low-rank adapters beside frozen weights instead, in PEFT's format (docs/trained.md). */
  lora?: LoraConfig | undefined;
  /** Train keys and values that every layer sees before a text's instead, in PEFT's format. */
  prefixTuning?: PrefixTuningConfig | undefined;
  /**
   * Train the matrix of the head alone (default false). One that is tied to the embedding becomes a
   * copy of it, and the export a model with a head of its own.
   */
  headTuning?: boolean | undefined;
  /** Steps of the whole run, those before a resume included. */
  steps: number;
  /** Rows of a pass, and of a step unless it accumulates (default 16). */
  batchSize?: number | undefined;
  /** Passes of `batchSize` rows a step, with one loss over all their rows (default 1). */
  gradientAccumulationSteps?: number | undefined;
  /** Integer from 0 to 2^53 - 1 (default 42). */
  seed?: number | undefined;
  /**
   * Evaluate `data.eval`, which must be given then, before the first step and every so many; 0
   * (default): only at the end.
   */
  evalEvery?: number | undefined;
  /** Skipped (non-finite) steps in a row that end the run (default 10). */
  maxSkipped?: number | undefined;
  schedule?: ScheduleConfig | undefined;
  /** Run directory. */
  output: string;
  /** What to do when `output` holds a run (default "auto": go on with it). */
  resume?: "auto" | "never" | "required" | undefined;
}

/** {@link DataConfig} with its defaults. */
export type ResolvedData = Filled<
  DataConfig,
  Exclude<RowsOnly, "train"> | "template" | "options" | "labels" | "chatTemplate" | "maxLength"
>;
/** The part of {@link ResolvedData} that says what is done with rows. */
export type ResolvedTask = Omit<ResolvedData, RowsOnly>;
type Sizes = "memory" | "hostMemory" | "disk" | "extentBytes";

/** {@link PlacementConfig} with its defaults; sizes are bytes. */
export interface ResolvedPlacement extends Omit<Filled<PlacementConfig, "slots">, Sizes> {
  memory?: number | undefined;
  hostMemory?: number | undefined;
  extentBytes?: number | undefined;
}
/** {@link EvaluateScheduleConfig} with its defaults. */
export interface ResolvedEvaluateSchedule extends ResolvedPlacement {
  storage?: Storage | undefined;
  evalBatchTokens: number;
}
/** {@link ScheduleConfig} with its defaults; sizes are bytes. */
export interface ResolvedSchedule
  extends Omit<
      Filled<ScheduleConfig, "slots" | "trace">,
      Sizes | "ablation" | keyof PlacementConfig
    >,
    ResolvedPlacement {
  disk?: number | undefined;
  ablation: Filled<AblationConfig, never>;
}
/** {@link TrainConfig} with every default filled in: what config.json in a run directory holds. */
export interface ResolvedTrainConfig {
  model: string;
  data: ResolvedData;
  method: ResolvedMethod;
  trainable?: NamePattern | undefined;
  lora?: LoraConfig | undefined;
  prefixTuning?: PrefixTuningConfig | undefined;
  objective: NonNullable<TrainConfig["objective"]>;
  headTuning: boolean;
  steps: number;
  batchSize: number;
  gradientAccumulationSteps: number;
  seed: number;
  evalEvery: number;
  maxSkipped: number;
  schedule: ResolvedSchedule;
  output: string;
  resume: "auto" | "never" | "required";
}

/** One row of a data set. */
export type JsonRow = Record<string, unknown>;

/** Everything {@link evaluate} needs to know: `model` or `run`, rows, and what to do with them. */
export interface EvaluateConfig extends TaskConfig {
  /** Base model to evaluate; with `run`: where the run's model is now, if it has moved. */
  model?: string | undefined;
  /** Directory of a run: its base model with its journal applied, its task, its `data.eval`. */
  run?: string | undefined;
  /** File, or rows in memory (default, with `run`: the rows that the run is evaluated on). */
  data?: string | JsonRow[] | undefined;
  /** Evaluate so many rows of `data`, drawn by `drawSeed` (default: all). */
  numEval?: number | undefined;
  /** In-context learning: so many demonstrations before each row (default 0). */
  shots?: number | undefined;
  /** File, or rows, to draw demonstrations from (default, with `run`: those that the run trains on). */
  demonstrations?: string | JsonRow[] | undefined;
  /** Each row gets demonstrations of its own (default); false: all get the same. */
  demonstrationsPerRow?: boolean | undefined;
  /** Integer from 0 to 2^32 - 1 (default 0); draws the rows that MeZO draws with it. */
  drawSeed?: number | undefined;
  /**
   * How options are compared. "none" (default): by the mean log-probability of their tokens. "sfc": by
   * how much likelier the prompt makes them (sums of log-probabilities, less those behind the task's
   * domain prompt). "icl_sfc": the same with the demonstrations before the domain prompt as well.
   */
  calibration?: "none" | "sfc" | "icl_sfc" | undefined;
  schedule?: EvaluateScheduleConfig | undefined;
}
/** Names of {@link EvaluateConfig} that say which rows there are, and how options are compared. */
export type Drawing =
  | "numEval"
  | "shots"
  | "demonstrations"
  | "demonstrationsPerRow"
  | "drawSeed"
  | "calibration";
/** {@link EvaluateConfig} as checked; what has no value here comes from the run, or a default. */
export interface ResolvedEvaluateConfig
  extends Omit<EvaluateConfig, "schedule" | Drawing>,
    Filled<Pick<EvaluateConfig, Drawing>, "numEval" | "demonstrations"> {
  schedule: ResolvedEvaluateSchedule;
}

/** Everything {@link exportModel} needs to know. */
export interface ExportConfig {
  /** Run directory. */
  run: string;
  /** Directory to write; it must be empty or not exist. */
  out: string;
  /** Where the run's model is now, if it has moved. */
  model?: string | undefined;
  /** Write the whole model, with the run's LoRA adapters added to its weights (default: they alone). */
  mergeAdapter?: boolean | undefined;
  schedule?: PlacementConfig | undefined;
}
/** {@link ExportConfig} with its defaults. */
export interface ResolvedExportConfig extends Omit<Filled<ExportConfig, "model">, "schedule"> {
  schedule: ResolvedPlacement;
}

/** A text to continue, or a conversation that the assistant is to go on with. */
export type Prompt = string | ChatMessage[];

/** Everything {@link generate} needs to know: `model` or `run`, and `prompts` or `promptsFile`. */
export interface GenerateConfig {
  /** Base model; with `run`: where the run's model is now, if it has moved. */
  model?: string | undefined;
  /** Directory of a run: its base model with its journal applied. */
  run?: string | undefined;
  prompts?: Prompt | Prompt[] | undefined;
  /** File: .txt (a prompt a line), or rows with "prompt" or "messages". */
  promptsFile?: string | undefined;
  /** A text is what a user says: the chat template makes the prompt of it (default false). */
  chat?: boolean | undefined;
  /** Jinja file used instead of the model's own chat template. */
  chatTemplate?: string | undefined;
  /** Most tokens to add to a prompt (default 128). */
  maxNewTokens?: number | undefined;
  /** Logits are divided by it; 0 (default): always the likeliest token. */
  temperature?: number | undefined;
  /** Choose among so many likeliest tokens; 0 (default): all. */
  topK?: number | undefined;
  /** Choose among the likeliest tokens of this probability together; 1 (default): all. */
  topP?: number | undefined;
  /** Integer from 0 to 2^53 - 1 (default 42). */
  seed?: number | undefined;
  /** Texts that end a continuation; they are cut off. */
  stop?: string | string[] | undefined;
  /** Token ids that end a continuation, besides the model's own. */
  stopTokenIds?: number[] | undefined;
  /** Prompts at once (default 8). */
  batchSize?: number | undefined;
  schedule?: Omit<EvaluateScheduleConfig, "evalBatchTokens"> | undefined;
}
/** {@link GenerateConfig} with its defaults. */
export interface ResolvedGenerateConfig
  extends Omit<
    Filled<
      GenerateConfig,
      "model" | "run" | "prompts" | "promptsFile" | "chatTemplate" | "stop" | "stopTokenIds"
    >,
    "schedule"
  > {
  schedule: Omit<ResolvedEvaluateSchedule, "evalBatchTokens">;
}
