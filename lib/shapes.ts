// Shapes of well-known models, for plans and benchmarks without weights: config.json of each, as
// published with the model.

/** A Hugging Face config.json. */
export type ModelShape = Readonly<Record<string, unknown>>;

function opt(hidden: number, layers: number, heads: number, more: ModelShape = {}): ModelShape {
  return {
    architectures: ["OPTForCausalLM"],
    model_type: "opt",
    vocab_size: 50272,
    hidden_size: hidden,
    ffn_dim: 4 * hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    max_position_embeddings: 2048,
    word_embed_proj_dim: hidden,
    do_layer_norm_before: true,
    activation_function: "relu",
    tie_word_embeddings: true,
    ...more,
  };
}

function llama(hidden: number, layers: number, heads: number, intermediate: number): ModelShape {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: 128256,
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: 8,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    hidden_act: "silu",
    tie_word_embeddings: false,
  };
}

const shapes = {
  "opt-125m": opt(768, 12, 12),
  "opt-350m": opt(1024, 24, 16, { word_embed_proj_dim: 512, do_layer_norm_before: false }),
  "opt-1.3b": opt(2048, 24, 32),
  "opt-2.7b": opt(2560, 32, 32),
  "opt-6.7b": opt(4096, 32, 32),
  "opt-13b": opt(5120, 40, 40),
  "opt-30b": opt(7168, 48, 56),
  "opt-66b": opt(9216, 64, 72),
  "opt-175b": opt(12288, 96, 96),
  "llama-3-8b": llama(4096, 32, 32, 14336),
  "llama-3-70b": llama(8192, 80, 64, 28672),
  "llama-3-405b": llama(16384, 126, 128, 53248),
  "qwen3-32b": {
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    vocab_size: 151936,
    hidden_size: 5120,
    intermediate_size: 25600,
    num_hidden_layers: 64,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    head_dim: 128,
    max_position_embeddings: 40960,
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
    hidden_act: "silu",
    tie_word_embeddings: false,
  },
} as const satisfies Record<string, ModelShape>;

/** Names that {@link plan} knows without a model at hand. */
export const shapeNames: readonly string[] = Object.keys(shapes);

/** config.json of a named shape. */
export function shapeOf(name: string): ModelShape | undefined {
  return Object.hasOwn(shapes, name) ? (shapes as Record<string, ModelShape>)[name] : undefined;
}
