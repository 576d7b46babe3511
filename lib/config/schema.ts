// The schema of the whole configuration: every name, every limit and every default, here only.
// Command-line flags (flags.ts) and messages (problems.ts) are read off it.
import { z } from "zod";
import { parseSize, sizeForms } from "./sizes.js";
import type {
  EvaluateConfig,
  ResolvedEvaluateConfig,
  ResolvedSchedule,
  ResolvedTrainConfig,
  ScheduleConfig,
  TrainConfig,
} from "./types.js";

/** What is known of a value besides its type. */
export interface LeafMeta {
  /** One line of help. */
  description: string;
  /** What a value must be, for messages: "... must be <allowed>". */
  allowed: string;
}

function leaf<T extends z.ZodType>(schema: T, allowed: string, description: string): T {
  return schema.meta({ description, allowed }) as T;
}
function text(description: string): z.ZodString {
  return leaf(z.string().min(1), "a non-empty text", description);
}
function choice<const T extends readonly [string, ...string[]]>(values: T, description: string) {
  const allowed = `one of ${values.map((value) => `"${value}"`).join(", ")}`;
  return leaf(z.enum(values), allowed, description);
}
function integer(least: number, description: string, most: number = 2 ** 53 - 1): z.ZodInt {
  const schema = z.int().min(least).max(most);
  const power = Math.log2(most + 1);
  return leaf(schema, `an integer from ${least} to 2^${power} - 1`, description);
}
function decimal(schema: z.ZodNumber, allowed: string, description: string): z.ZodNumber {
  return leaf(schema, allowed, description);
}
function size(description: string) {
  const schema = z.union([z.number(), z.string()]).transform((given, context) => {
    const bytes = parseSize(given);
    if (bytes !== undefined) return bytes;
    context.addIssue({ code: "custom", message: "size" });
    return z.NEVER;
  });
  return leaf(schema, sizeForms, description);
}

// The engine computes in f32, whose largest number is 3.4e38.
const notNegative = z.number().min(0).lt(1e30);
const notNegativeForm = "a number of at least 0 and below 1e30";
const labelValue = z.union([z.string(), z.number()]);
const taskFields = {
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
  maxLength: integer(2, "longest sequence in tokens (default: what the model allows)").optional(),
};
const task = text('what the rows are: "lm", "options" or "sst2"');
const labelField = text("field that holds the right option");

const data = z.strictObject({
  train: text("JSONL file to train on"),
  eval: text("JSONL file to evaluate on").optional(),
  task: task.default("lm"),
  ...taskFields,
  labelField: labelField.default("label"),
});

const method = z.strictObject({
  name: choice(["mezo"], "zeroth-order method").default("mezo"),
  learningRate: decimal(notNegative, notNegativeForm, "peak learning rate").default(1e-6),
  epsilon: decimal(
    z.number().min(1e-30).max(1e10),
    "a number from 1e-30 to 1e10",
    "length of the perturbation",
  ).default(1e-3),
  directions: integer(1, "random directions a step", 2 ** 24 - 1).default(1),
  distribution: choice(["gaussian", "rademacher"], "distribution of the perturbation").default(
    "gaussian",
  ),
  weightDecay: decimal(notNegative, notNegativeForm, "decoupled weight decay").default(0),
  lrSchedulerType: choice(["constant", "linear", "cosine"], "course of the learning rate").default(
    "constant",
  ),
  warmupSteps: integer(0, "steps over which the learning rate rises from 0").default(0),
  minLearningRateRatio: decimal(
    z.number().min(0).max(1),
    "a number from 0 to 1",
    "learning rate at the end of a schedule, as a share of the peak",
  ).default(0),
  clip: decimal(notNegative, notNegativeForm, "largest |projected gradient|; 0: any").default(0),
});

const roundEvery = leaf(
  z.union([
    z.literal("auto"),
    z
      .int()
      .min(1)
      .max(2 ** 31 - 1),
  ]),
  '"auto" or an integer from 1 to 2^31 - 1',
  "steps between two roundings to the storage type",
);
const schedule = z.strictObject({
  device: choice(["auto", "cpu"], "where to compute").default("auto"),
  memory: size("ceiling of the device tier (for the CPU: RAM)").optional(),
  hostMemory: size("ceiling of the host tier").optional(),
  disk: size("ceiling of the disk tier").optional(),
  storage: choice(["f32", "bf16", "f16"], "type of stored weights").default("f32"),
  roundEvery: roundEvery.default("auto"),
  rounding: choice(["stochastic", "nearest"], "how weights are rounded").default("stochastic"),
  offload: choice(["auto", "none", "host", "disk"], "where weights wait").default("auto"),
  extentBytes: size("bytes of one extent, the unit that moves").default(64 * 2 ** 20),
  threads: integer(0, "worker threads; 0: one per core", 2 ** 10 - 1).default(0),
  isa: text('instruction set: "auto", or one that `zo2 doctor` lists').default("auto"),
  evalBatchTokens: integer(1, "tokens of one evaluation batch").default(4096),
  checkpointEvery: integer(0, "steps between snapshots of the weights; 0: never").default(1000),
});

const train = z.strictObject({
  model: text("directory of Hugging Face files, a .gguf file, or an id in the local cache"),
  data,
  method: method.prefault({}),
  steps: integer(1, "steps of the whole run"),
  batchSize: integer(1, "rows a step").default(16),
  seed: integer(0, "seed of everything random").default(42),
  evalEvery: integer(0, "steps between evaluations; 0: only at the end").default(0),
  maxSkipped: integer(1, "non-finite steps in a row that end the run", 2 ** 31 - 1).default(10),
  schedule: schedule.prefault({}),
  output: text("run directory"),
  resume: choice(["auto", "never", "required"], "what to do when output holds a run").default(
    "auto",
  ),
});

const evaluate = z.strictObject({
  model: text("directory of Hugging Face files, a .gguf file, or an id in the cache").optional(),
  run: text("directory of a run to evaluate").optional(),
  data: leaf(
    z.union([z.string().min(1), z.array(z.record(z.string(), z.unknown()))]),
    "a JSONL file or a list of rows",
    "JSONL file of the rows to evaluate",
  ).optional(),
  task: task.optional(),
  ...taskFields,
  labelField: labelField.optional(),
  schedule: schedule.prefault({}),
});

// The declared types and the schema say the same, or this does not compile.
type Same<A, B> = [A, B] extends [B, A] ? true : never;
const proofs: [
  Same<z.input<typeof train>, TrainConfig>,
  Same<z.output<typeof train>, ResolvedTrainConfig>,
  Same<z.input<typeof evaluate>, EvaluateConfig>,
  Same<z.output<typeof evaluate>, ResolvedEvaluateConfig>,
] = [true, true, true, true];
void proofs;

/** Schema of {@link ScheduleConfig}. */
export const scheduleSchema: z.ZodType<ResolvedSchedule, ScheduleConfig> = schedule;
/** Schema of {@link TrainConfig}. */
export const trainSchema: z.ZodType<ResolvedTrainConfig, TrainConfig> = train;
/** Schema of {@link EvaluateConfig}. */
export const evaluateSchema: z.ZodType<ResolvedEvaluateConfig, EvaluateConfig> = evaluate;
