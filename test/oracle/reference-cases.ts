// What runs are compared with the reference (reference.test.ts): models, rows, storage types, methods and what
// is trained.
import type { RunSettings } from "./runs.js";

export interface Case extends RunSettings {
  name: string;
  model: string;
  rows: "lm" | "options";
}

export const vocabularies: Record<string, number> = {
  "opt-tied": 203,
  "opt-350m-layout": 131,
  "llama-tied-gqa": 301,
  "llama-untied-biases": 157,
  gpt2: 181,
  mistral: 163,
  "qwen2-v5": 167,
  "qwen3-untied-biases": 127,
  panels: 2100,
};
const schedule = { lrSchedulerType: "linear", warmupSteps: 4, minLearningRateRatio: 0.1 } as const;
const cosine = { lrSchedulerType: "cosine", warmupSteps: 3 } as const;

export const cases: Case[] = [
  { name: "plain", model: "opt-tied", rows: "lm" },
  { name: "plain", model: "llama-tied-gqa", rows: "lm" },
  { name: "options", model: "opt-tied", rows: "options" },
  { name: "options", model: "llama-tied-gqa", rows: "options" },
  {
    name: "two directions, decay, linear schedule",
    model: "llama-tied-gqa",
    rows: "lm",
    train: { directions: 2, weightDecay: 0.1, ...schedule },
  },
  {
    name: "rademacher, decay, cosine schedule",
    model: "opt-tied",
    rows: "lm",
    train: { distribution: "rademacher", weightDecay: 0.3, ...cosine },
  },
  {
    name: "embedding projections, two directions, decay",
    model: "opt-350m-layout",
    rows: "lm",
    train: { directions: 2, weightDecay: 0.05 },
  },
  {
    name: "untied with biases, clipped, rademacher",
    model: "llama-untied-biases",
    rows: "options",
    train: { clip: 2, distribution: "rademacher", directions: 2 },
  },
  {
    name: "fzoo, decay",
    model: "opt-tied",
    rows: "lm",
    train: { method: "fzoo", directions: 3, distribution: "rademacher", weightDecay: 0.1 },
  },
  {
    name: "spsa1.5, constants of one's own, clipped",
    model: "llama-tied-gqa",
    rows: "lm",
    train: { method: "spsa1.5", directions: 2, saturatingAlpha: 0.3, lambdaReg: 0.5, clip: 3 },
  },
  {
    name: "es, options",
    model: "opt-tied",
    rows: "options",
    train: { method: "es", directions: 3 },
  },
  {
    name: "meazo, two directions",
    model: "llama-tied-gqa",
    rows: "lm",
    train: { method: "meazo", directions: 2, adamBeta2: 0.9, learningRate: 1e-3 },
  },
  {
    name: "lozo, two directions, three intervals, decay",
    model: "opt-tied",
    rows: "lm",
    train: { method: "lozo", directions: 2, rank: 2, updateInterval: 3, weightDecay: 0.1 },
  },
  {
    name: "lozo of rank 6 in bf16, K 3",
    model: "llama-tied-gqa",
    rows: "options",
    load: { storage: "bf16" },
    train: { method: "lozo", rank: 6, updateInterval: 2, epsilon: 1e-2, roundEvery: 3 },
  },
  {
    name: "subzero, two directions, three intervals, decay",
    model: "opt-tied",
    rows: "lm",
    train: { method: "subzero", directions: 2, rank: 4, updateInterval: 3, weightDecay: 0.1 },
  },
  {
    name: "subzero of rank 5 in bf16, K 3",
    model: "llama-tied-gqa",
    rows: "options",
    load: { storage: "bf16" },
    train: { method: "subzero", rank: 5, updateInterval: 4, epsilon: 1e-2, roundEvery: 3 },
  },
  {
    name: "sparse, two directions, decay",
    model: "opt-tied",
    rows: "lm",
    train: { method: "sparse", directions: 2, sparsity: 0.7, weightDecay: 0.1 },
  },
  {
    name: "sparse in q8, K 3",
    model: "llama-tied-gqa",
    rows: "lm",
    load: { storage: "q8" },
    train: { method: "sparse", sparsity: 0.5, epsilon: 1e-2, roundEvery: 3 },
  },
  {
    name: "adamezo, two directions, a window of four, decay",
    model: "opt-tied",
    rows: "lm",
    train: { method: "adamezo", directions: 2, window: 4, learningRate: 1e-4, weightDecay: 0.1 },
  },
  {
    name: "adamezo in bf16, Rademacher, K 3",
    model: "llama-tied-gqa",
    rows: "options",
    load: { storage: "bf16" },
    train: {
      method: "adamezo",
      distribution: "rademacher",
      window: 3,
      learningRate: 1e-3,
      epsilon: 1e-2,
      roundEvery: 3,
    },
  },
  {
    name: "fzoo in bf16, K 3",
    model: "opt-tied",
    rows: "lm",
    load: { storage: "bf16" },
    train: { method: "fzoo", directions: 2, epsilon: 1e-2, roundEvery: 3 },
  },
  ...(["bf16", "f16", "bf16+8", "q8"] as const).flatMap((storage) =>
    ([1, 3] as const).flatMap((roundEvery) =>
      (["nearest", "stochastic"] as const).map((rounding): Case => {
        const model =
          (roundEvery === 1) === (rounding === "nearest") ? "opt-tied" : "llama-tied-gqa";
        return {
          name: `${storage}, ${rounding}, every ${roundEvery}`,
          model,
          rows: "lm",
          load: { storage },
          train: { roundEvery, rounding, weightDecay: 0.1 },
        };
      }),
    ),
  ),
  {
    name: "bf16, stochastic, every 5, options, two directions",
    model: "llama-tied-gqa",
    rows: "options",
    load: { storage: "bf16" },
    train: { roundEvery: 5, directions: 2 },
  },
];

cases.push(
  {
    name: "q8, beyond the ends of the grids",
    model: "opt-tied",
    rows: "lm",
    load: { storage: "q8" },
    train: { learningRate: 3e-3, epsilon: 1e-2, clip: 1 },
  },
  {
    name: "bf16+8, stochastic, every 5, options, two directions, rademacher",
    model: "opt-350m-layout",
    rows: "options",
    load: { storage: "bf16+8" },
    train: { roundEvery: 5, directions: 2, distribution: "rademacher" },
  },
  ...(["bf16+8", "q8"] as const).flatMap((storage): Case[] => [
    {
      name: `fused and transposed, ${storage}`,
      model: "gpt2",
      rows: "options",
      load: { storage },
      train: { steps: 5, roundEvery: 2, weightDecay: 0.1 },
    },
    {
      name: `matrices of several panels, one in each extent, ${storage}`,
      model: "panels",
      rows: "lm",
      load: { storage, extentBytes: 1 },
      train: { steps: 3, roundEvery: 2, weightDecay: 0.1 },
    },
  ]),
  {
    name: "fused and transposed, two directions, decay",
    model: "gpt2",
    rows: "lm",
    train: { directions: 2, weightDecay: 0.1 },
  },
  {
    name: "fused and transposed, bf16, stochastic",
    model: "gpt2",
    rows: "options",
    load: { storage: "bf16" },
    train: { steps: 5, weightDecay: 0.1 },
  },
  { name: "wide heads", model: "mistral", rows: "lm", train: { steps: 5 } },
  { name: "biases", model: "qwen2-v5", rows: "options", train: { steps: 5 } },
  { name: "norms of heads", model: "qwen3-untied-biases", rows: "lm", train: { weightDecay: 0.1 } },
  {
    name: "matrices of several panels, one in each extent, bf16",
    model: "panels",
    rows: "lm",
    load: { storage: "bf16", extentBytes: 1 },
    train: { steps: 3, roundEvery: 2, weightDecay: 0.1 },
  },
  {
    name: "a batch larger than the data",
    model: "llama-untied-biases",
    rows: "lm",
    train: { batchSize: 16, steps: 3 },
  },
);

// What is trained, and in how many passes.
cases.push(
  {
    name: "a part of the tensors, decay, two directions",
    model: "llama-tied-gqa",
    rows: "lm",
    load: { trainable: ["model.norm", "v_proj", "layers.1.mlp.down_proj"] },
    train: { directions: 2, weightDecay: 0.1 },
  },
  {
    name: "the last layer in bf16, K 3",
    model: "gpt2",
    rows: "options",
    load: { trainable: ".*h\\.1\\..*", storage: "bf16" },
    train: { roundEvery: 3, learningRate: 1e-3 },
  },
  {
    name: "the head alone, which was tied",
    model: "opt-350m-layout",
    rows: "lm",
    load: { headOnly: true },
    train: { weightDecay: 0.1 },
  },
  {
    name: "the head alone in q8, which was tied",
    model: "gpt2",
    rows: "options",
    load: { headOnly: true, storage: "q8" },
    train: { roundEvery: 2 },
  },
  {
    name: "three passes a step",
    model: "opt-tied",
    rows: "lm",
    train: { batchSize: 2, gradientAccumulationSteps: 3 },
  },
);

const qzo = { method: "qzo", learningRate: 1e-3, epsilon: 1e-2, clip: 100 } as const;
cases.push(
  {
    name: "qzo, decay",
    model: "opt-tied",
    rows: "lm",
    load: { storage: "q8s" },
    train: { ...qzo, steps: 10, weightDecay: 0.1 },
  },
  {
    name: "qzo, two directions, rademacher, clipped, fused and transposed",
    model: "gpt2",
    rows: "options",
    load: { storage: "q8s" },
    train: { ...qzo, steps: 10, directions: 2, distribution: "rademacher", clip: 1 },
  },
  {
    name: "qzo, steps so long that scales meet zero",
    model: "llama-tied-gqa",
    rows: "lm",
    load: { storage: "q8s" },
    train: { ...qzo, steps: 10, learningRate: 0.4, clip: 1 },
  },
  {
    name: "qzo of the head alone, which was tied",
    model: "opt-350m-layout",
    rows: "lm",
    load: { headOnly: true, storage: "q8s" },
    train: { ...qzo, steps: 10 },
  },
  {
    name: "qzo, matrices of several panels, one in each extent",
    model: "panels",
    rows: "lm",
    load: { storage: "q8s", extentBytes: 1 },
    train: { ...qzo, steps: 3, weightDecay: 0.1 },
  },
);

const adapters = { learningRate: 1e-3, epsilon: 1e-2, steps: 10, weightDecay: 0.1 };
cases.push(
  {
    name: "adapters of queries and values",
    model: "opt-tied",
    rows: "lm",
    load: { lora: { r: 4, loraAlpha: 16, seed: 5 } },
    train: adapters,
  },
  {
    name: "adapters of every product, two directions, a scale that is no power of two",
    model: "llama-tied-gqa",
    rows: "options",
    load: { lora: { r: 3, loraAlpha: 7, targetModules: "all-linear", seed: 6 } },
    train: { ...adapters, directions: 2 },
  },
  {
    name: "adapters of a model in bf16, with projections of the embedding",
    model: "opt-350m-layout",
    rows: "lm",
    load: {
      lora: { r: 4, loraAlpha: 4, targetModules: "all-linear", seed: 2 ** 53 - 1 },
      storage: "bf16",
    },
    train: { ...adapters, roundEvery: 4 },
  },
  {
    name: "adapters of what is fused and transposed",
    model: "gpt2",
    rows: "lm",
    load: { lora: { r: 5, loraAlpha: 10, targetModules: ["c_attn", "c_fc"], seed: 0 } },
    train: adapters,
  },
);

const prefixes = { learningRate: 1e-2, epsilon: 1e-1, steps: 10, weightDecay: 0.1 };
cases.push(
  {
    name: "a prefix, learned positions behind it",
    model: "opt-tied",
    rows: "lm",
    load: { prefix: { numVirtualTokens: 4, seed: 5 } },
    train: prefixes,
  },
  {
    name: "a prefix of fewer heads than queries, two directions, options that share prompts",
    model: "llama-tied-gqa",
    rows: "options",
    load: { prefix: { numVirtualTokens: 19, seed: 2 ** 53 - 1 } },
    train: { ...prefixes, directions: 2 },
  },
  {
    name: "a prefix of a model in bf16 with norms of heads",
    model: "qwen3-untied-biases",
    rows: "lm",
    load: { prefix: { numVirtualTokens: 1, seed: 6 }, storage: "bf16" },
    train: { ...prefixes, roundEvery: 4 },
  },
  {
    name: "a prefix, lozo",
    model: "gpt2",
    rows: "lm",
    load: { prefix: { numVirtualTokens: 3, seed: 0 } },
    train: { ...prefixes, method: "lozo", rank: 2, updateInterval: 4 },
  },
);
