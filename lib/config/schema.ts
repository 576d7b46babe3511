// The schema of the whole configuration: every name, every limit, and every default but those that depend
// on the method (methods.ts) or belong to an adapter (adapters.ts).
// Command-line flags (flags.ts) and messages (problems.ts) are read off it.
import { z } from "zod";
import { arePrompts } from "../generation/are-prompts.js";
import { rowExtensions } from "../data/extensions.js";
import type { TaskReference } from "../tasks/task.js";
import { lora, loraShape, prefixShape, prefixTuning } from "./adapter-schema.js";
import {
  choice,
  flag,
  integer,
  leaf,
  namePattern,
  notNegative,
  positive,
  share,
  size,
  text,
} from "./leaf.js";
import { methodNames } from "./methods.js";
import type { PlanConfig, ResolvedPlanConfig } from "./plan-types.js";
import type { Same } from "./same.js";
import type {
  EvaluateConfig,
  ExportConfig,
  GenerateConfig,
  Prompt,
  ResolvedEvaluateConfig,
  ResolvedExportConfig,
  ResolvedGenerateConfig,
  ResolvedSchedule,
  ResolvedTask,
  ResolvedTrainConfig,
  ScheduleConfig,
  TaskConfig,
  TrainConfig,
} from "./types.js";

const labelValue = z.union([z.string(), z.number()]);
const isReference = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "name" in value && "version" in value;
const taskOptions = {
  template: text('prompt of an "options" task; {field} stands for a field of the row').optional(),
  options: leaf(
    z.array(z.string().min(1)).min(2),
    "a list of at least two non-empty texts",
    'texts that an "options" task chooses from, appended to the prompt as they are',
  ).optional(),
  labels: leaf(
    z.array(labelValue).min(2),
    "a list of at least two texts or numbers",
    "values of the label field in the order of the options (default: the field is an index)",
  ).optional(),
  chatTemplate: text("Jinja file used instead of the model's own chat template").optional(),
  maxLength: integer(2, "longest sequence in tokens (default: what the model allows)").optional(),
};
const taskFields = {
  task: leaf(
    z.union([z.string().min(1), z.custom<TaskReference>(isReference)]),
    "the name of a task, or what defineTask() makes",
    'what rows are: "lm", "chat", "options", "sst2" ... (docs/tasks.md), or a module with a task of your own',
  ),
  labelField: text("field that holds the right option"),
  promptField: text('field of the prompt, for tasks "completion" and "chat"'),
  completionField: text('field of the completion, for tasks "completion" and "chat"'),
  messagesField: text('field of the messages, for task "chat"'),
  completionOnlyLoss: flag(
    "predict completions only, and in a conversation what the assistant says",
  ),
};
const task = z.strictObject({
  task: taskFields.task.default("lm"),
  ...taskOptions,
  labelField: taskFields.labelField.default("label"),
  promptField: taskFields.promptField.default("prompt"),
  completionField: taskFields.completionField.default("completion"),
  messagesField: taskFields.messagesField.default("messages"),
  completionOnlyLoss: taskFields.completionOnlyLoss.default(true),
});

const rowFile = `file of rows (${rowExtensions.join(", ")}) or data set on the Hub`;
const rowsOrFile = (what: string) =>
  leaf(
    z.union([z.string().min(1), z.array(z.record(z.string(), z.unknown()))]),
    "a file or a list of rows",
    `${rowFile} ${what}`,
  );
const drawSeed = integer(0, "seed of the rows drawn; draws the rows MeZO does", 2 ** 32 - 1);
const data = z.strictObject({
  train: text(`${rowFile} to train on`),
  eval: text(`${rowFile} to evaluate on`).optional(),
  numTrain: integer(1, "train on at most so many rows, drawn by the seed").optional(),
  numDev: integer(1, "evaluate on so many other rows of the file to train on").optional(),
  drawSeed: drawSeed.optional(),
  trainAsClassification: flag(
    "train on all options, or else on the tokens of the right one (default: as the task has it)",
  ).optional(),
  ...task.shape,
});

const method = z.strictObject({
  name: choice(methodNames, "zeroth-order method").default("mezo"),
  learningRate: notNegative("peak learning rate").default(1e-6),
  epsilon: leaf(
    z.number().min(1e-30).max(1e10),
    "a number from 1e-30 to 1e10",
    "length of the perturbation",
  ).default(1e-3),
  directions: integer(1, "random directions a step", 2 ** 24 - 1).default(1),
  saturatingAlpha: share("of spsa1.5: power of the curvature").optional(),
  lambdaReg: positive("of spsa1.5: least divisor").optional(),
  adamBeta1: share("of adamezo: decay of the first moment").optional(),
  adamBeta2: share("of meazo and adamezo: decay of the second moment").optional(),
  adamEpsilon: positive("of meazo and adamezo: added to the root of the second moment").optional(),
  rank: integer(1, "of lozo and subzero: columns of the factors of a direction", 32).optional(),
  updateInterval: integer(1, "of lozo and subzero: steps that share a basis").optional(),
  window: integer(1, "of adamezo: records that moments are of", 1000).optional(),
  sparsity: share("of sparse: share of a matrix, the largest weights, left as it is").optional(),
  distribution: choice(["gaussian", "rademacher"], "distribution of the perturbation").default(
    "gaussian",
  ),
  weightDecay: notNegative("decoupled weight decay").default(0),
  lrSchedulerType: choice(["constant", "linear", "cosine"], "course of the learning rate").default(
    "constant",
  ),
  warmupSteps: integer(0, "steps over which the learning rate rises from 0").default(0),
  minLearningRateRatio: leaf(
    z.number().min(0).max(1),
    "a number from 0 to 1",
    "learning rate at the end of a schedule, as a share of the peak",
  ).default(0),
  clip: notNegative("largest |projected gradient|; 0: any").default(0),
});

// The engine counts such things in 32 bits.
const mostSteps = 1e9;
const roundEvery = leaf(
  z.union([z.literal("auto"), z.int().min(1).max(mostSteps)]),
  `"auto" or an integer from 1 to ${mostSteps}`,
  "steps between two roundings to the storage type",
);
const residentBlocks = leaf(
  z.union([z.literal("auto"), z.int().min(0).max(mostSteps)]),
  '"auto" or a number of blocks',
  "transformer blocks that stay on the device",
);
const trainable = namePattern(
  "tensors to train: a regular expression of whole names, or a list of names or their ends (default: all)",
);
export const storageTypes = ["f32", "bf16", "f16", "bf16+8", "q8"] as const;
const placement = {
  device: choice(["auto", "cpu", "cuda"], "where to compute").default("auto"),
  memory: size(
    "ceiling of the device tier (for the CPU: RAM; of a GPU, CUDA's context is inside)",
  ).optional(),
  matmul: choice(["zo2", "cublaslt"], "what multiplies on a GPU").default("zo2"),
  threads: integer(0, "worker threads; 0: one per core", 2 ** 10 - 1).default(0),
  isa: leaf(
    z.string().regex(/\S/),
    '"auto", or an instruction set that `zo2 doctor` lists',
    "instruction set",
  ).default("auto"),
  offload: choice(["auto", "none", "host", "disk"], "where weights wait").default("auto"),
  hostMemory: size("ceiling of weights in host memory").optional(),
  extentBytes: size("bytes of one extent, the unit that moves").optional(),
  slots: integer(2, "slots that extents pass through", 1024).optional(),
  lookAhead: integer(0, "extents loaded ahead at most; 0: as slots allow", 64).default(0),
  placement: residentBlocks.default("auto"),
};
const ablation = z
  .strictObject({
    overlap: flag("lanes work at the same time").default(true),
    reuseSlots: flag("slots keep their memory").default(true),
    deferredUpdate: flag("updates ride on the next upload").default(true),
    shareBranches: flag("what is below the first trained tensor runs once a step").default(true),
    hostSync: flag("wait for all lanes behind every extent").default(false),
    writeLag: integer(0, "rounding steps that a write waits for", 1000).default(0),
  })
  .prefault({});
const evalBatchTokens = integer(
  1,
  "tokens of one evaluation batch at most; fewer where memory asks for it",
).default(4096);
const schedule = z.strictObject({
  ...placement,
  trace: text("file for the timeline of the run's lanes (Chrome, Perfetto)").optional(),
  ablation,
  disk: size("ceiling of the run's store on disk").optional(),
  storage: choice(storageTypes, "type of stored weights").default("f32"),
  roundEvery: roundEvery.default("auto"),
  rounding: choice(["stochastic", "nearest"], "how weights are rounded").default("stochastic"),
  evalBatchTokens,
  checkpointEvery: integer(0, "steps between snapshots of the weights; 0: never").default(1000),
});

const accumulation = integer(1, "passes of a step, with one loss over all their rows", 2 ** 20 - 1);
const train = z.strictObject({
  model: text("directory of Hugging Face files, a .gguf file, or a name on the Hugging Face Hub"),
  data,
  method: method.prefault({}),
  objective: choice(
    ["loss", "accuracy", "f1", "exactMatch"],
    "what is trained on: the task's loss, or a measure of it, maximised",
  ).default("loss"),
  trainable: trainable.optional(),
  lora: lora.optional(),
  prefixTuning: prefixTuning.optional(),
  headTuning: flag("train the head alone; a tied one becomes a matrix of its own").default(false),
  steps: integer(1, "steps of the whole run"),
  batchSize: integer(1, "rows of a pass, and of a step unless it accumulates", 2 ** 20 - 1).default(
    16,
  ),
  gradientAccumulationSteps: accumulation.default(1),
  seed: integer(0, "seed of everything random").default(42),
  evalEvery: integer(0, "steps between evaluations; 0: only at the end").default(0),
  maxSkipped: integer(1, "non-finite steps in a row that end the run", mostSteps).default(10),
  schedule: schedule.prefault({}),
  output: text("run directory"),
  resume: choice(["auto", "never", "required"], "what to do when output holds a run").default(
    "auto",
  ),
});

// Of a base model or a run's, for what does not train.
const baseOrRuns = text(
  "directory of Hugging Face files, a .gguf file, or a name on the Hugging Face Hub; with run: where " +
    "its model is now",
).optional();
const runsStorage = {
  storage: choice(storageTypes, "type of stored weights (default: the run's, or f32)").optional(),
};

const evaluate = z.strictObject({
  model: baseOrRuns,
  run: text("directory of a run to evaluate").optional(),
  data: rowsOrFile("to evaluate").optional(),
  numEval: integer(1, "evaluate so many rows, drawn by the seed").optional(),
  shots: integer(0, "demonstrations before each row").default(0),
  demonstrations: rowsOrFile("to draw demonstrations from").optional(),
  demonstrationsPerRow: flag("each row gets demonstrations of its own").default(true),
  drawSeed: drawSeed.default(0),
  calibration: choice(["none", "sfc", "icl_sfc"], "what options are compared with").default("none"),
  ...taskOptions,
  ...z.strictObject(taskFields).partial().shape,
  schedule: z
    .strictObject({
      ...placement,
      ...runsStorage,
      evalBatchTokens,
    })
    .prefault({}),
});

const exporting = z.strictObject({
  run: text("run directory"),
  out: text("directory to write; it must be empty or not exist"),
  model: text("where the run's model is now, if it has moved").optional(),
  mergeAdapter: flag(
    "write the whole model, with the run's LoRA adapters added to its weights",
  ).default(false),
  schedule: z.strictObject(placement).prefault({}),
});

const generation = z.strictObject({
  model: baseOrRuns,
  run: text("directory of a run to continue prompts with").optional(),
  prompts: leaf(
    z.custom<Prompt | Prompt[]>(arePrompts),
    "a text, a list of messages ({ role, content }), or a list of those",
    "text to continue",
  ).optional(),
  promptsFile: text(
    'file of prompts: .txt (one a line), or rows with "prompt" or "messages" (.jsonl, .json, .csv ...)',
  ).optional(),
  chat: flag("a text is what a user says: the model's chat template makes the prompt").default(
    false,
  ),
  chatTemplate: taskOptions.chatTemplate,
  maxNewTokens: integer(1, "most tokens to add to a prompt", 2 ** 24 - 1).default(128),
  temperature: leaf(
    z.number().min(0).max(1e6),
    "a number from 0 to 1e6",
    "logits are divided by it; 0: always the likeliest token",
  ).default(0),
  topK: integer(0, "choose among so many likeliest tokens; 0: all", 2 ** 24 - 1).default(0),
  topP: leaf(
    z.number().gt(0).max(1),
    "a number above 0, at most 1",
    "choose among the likeliest tokens of this probability together",
  ).default(1),
  seed: integer(0, "seed of the choices").default(42),
  stop: leaf(
    z.union([z.string().min(1), z.array(z.string().min(1))]),
    "a non-empty text, or a list of them",
    "text that ends a continuation, or a list of such texts; it is cut off",
  ).optional(),
  stopTokenIds: leaf(
    z.array(
      z
        .int()
        .min(0)
        .max(2 ** 31 - 1),
    ),
    "a list of token ids",
    "token ids that end a continuation, besides the model's own",
  ).optional(),
  batchSize: integer(1, "prompts at once", 2 ** 16 - 1).default(8),
  schedule: z
    .strictObject({
      ...placement,
      ...runsStorage,
    })
    .prefault({}),
});

const { memory, hostMemory, offload, extentBytes, slots, lookAhead, threads } = placement;
const planning = z.strictObject({
  model: text("shape (opt-125m ... opt-175b, llama-3-8b ...), config.json, or a model"),
  batch: integer(1, "rows of a pass", 2 ** 20 - 1).default(1),
  gradientAccumulationSteps: accumulation.default(1),
  length: integer(2, "tokens of a row (default: 2048, or what the model reads)").optional(),
  method: method.shape.name,
  directions: integer(1, "random directions (default: the method's)", 2 ** 10 - 1).optional(),
  distribution: choice(
    ["gaussian", "rademacher"],
    "distribution of directions (default: the method's)",
  ).optional(),
  rank: method.shape.rank,
  storage: choice(storageTypes, "type of stored weights").default("f16"),
  trainable: trainable.optional(),
  lora: z.strictObject(loraShape).optional(),
  prefixTuning: z.strictObject(prefixShape).optional(),
  headTuning: flag("train the head alone").default(false),
  roundEvery: roundEvery.default("auto"),
  memory,
  hostMemory,
  offload,
  extentBytes,
  slots,
  lookAhead,
  placement: placement.placement,
  threads,
  ablation,
  device: text('machine to predict for: "cpu" (this one), or a GPU of deviceProfiles()').default(
    "cpu",
  ),
  steps: integer(1, "steps of the run, for what it writes").default(20_000),
  simulate: flag("predict the step time").default(true),
  trace: text("file for the simulated timeline (Chrome, Perfetto)").optional(),
});

// The declared types and the schema say the same, or this does not compile.
const proofs: [
  Same<z.input<typeof train>, TrainConfig>,
  Same<z.output<typeof train>, ResolvedTrainConfig>,
  Same<z.input<typeof evaluate>, EvaluateConfig>,
  Same<z.output<typeof evaluate>, ResolvedEvaluateConfig>,
  Same<z.input<typeof task>, TaskConfig>,
  Same<z.output<typeof task>, ResolvedTask>,
  Same<z.input<typeof exporting>, ExportConfig>,
  Same<z.output<typeof exporting>, ResolvedExportConfig>,
  Same<z.input<typeof generation>, GenerateConfig>,
  Same<z.output<typeof generation>, ResolvedGenerateConfig>,
  Same<z.input<typeof planning>, PlanConfig>,
  Same<z.output<typeof planning>, ResolvedPlanConfig>,
] = [true, true, true, true, true, true, true, true, true, true, true, true];
void proofs;

/** Schema of {@link ScheduleConfig}. */
export const scheduleSchema: z.ZodType<ResolvedSchedule, ScheduleConfig> = schedule;
/** Schema of {@link TrainConfig}. */
export const trainSchema: z.ZodType<ResolvedTrainConfig, TrainConfig> = train;
/** Schema of {@link EvaluateConfig}. */
export const evaluateSchema: z.ZodType<ResolvedEvaluateConfig, EvaluateConfig> = evaluate;
/** Schema of what is done with rows: {@link ResolvedTask}. */
export const taskSchema: z.ZodType<ResolvedTask, TaskConfig> = task;
/** Schema of {@link ExportConfig}. */
export const exportSchema: z.ZodType<ResolvedExportConfig, ExportConfig> = exporting;
/** Schema of {@link GenerateConfig}. */
export const generateSchema: z.ZodType<ResolvedGenerateConfig, GenerateConfig> = generation;
/** Schema of {@link PlanConfig}. */
export const planSchema: z.ZodType<ResolvedPlanConfig, PlanConfig> = planning;
/** What a schedule is where nothing is given. */
export const defaultSchedule: ResolvedSchedule = schedule.parse({});
