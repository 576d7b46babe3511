// A model described as data. One walk (emit_forward, model/forward.h) runs every family; a family
// is only the mapping from a Hugging Face config to this description (model/family_*.cc).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor_source.h"
#include "device/ops.h"

namespace zo2 {

// Decides decay and which tensors are 1-D; never derived from a tensor's name.
enum class Role : uint8_t { kEmbedding, kLinear, kNorm, kBias, kAdapter };
const char* role_name(Role role);

// Position in ModelSpec::tensors; -1 where the model has no such tensor.
using TensorId = int32_t;

struct TensorSpec {
  // Hugging Face name; where one stored tensor holds several, with the part ("c_attn.q.weight").
  std::string name;
  std::vector<int64_t> shape;  // canonical: matrices [out, in], others [n]
  TensorSource source;         // where checkpoints have it, and what is exported
  Role role = Role::kLinear;
  int block = 0;  // 0: embedding, 1 ... layers: transformer layers, layers + 1: head
  bool trainable = true;
  // Begins as a copy of what `source` says, and is exported under its own name.
  bool copied = false;

  bool is_matrix() const { return shape.size() == 2; }
  // Stored as the model is, in panels of extents. Others, 1-D parameters and adapters, are resident
  // and f32 always.
  bool in_extents() const { return is_matrix() && role != Role::kAdapter; }
  bool decayed() const { return role != Role::kNorm && role != Role::kBias; }
  int64_t rows() const { return is_matrix() ? shape[0] : 1; }
  int64_t columns() const { return shape.back(); }
  int64_t elements() const { return rows() * columns(); }
};

struct NormSpec {
  NormKind kind = NormKind::kNone;
  TensorId gain = -1;
  TensorId bias = -1;
  float epsilon = 0;
};

// Beside a product: (x A^T) B^T times AdapterSpec::scale (model/lora.h).
struct LoraSpec {
  TensorId a = -1;  // [rank, in]; products that are stored as one share it
  TensorId b = -1;  // [out, rank]
};

struct LinearSpec {
  TensorId weight = -1;
  TensorId bias = -1;
  LoraSpec lora;  // -1: none
};

// Keys and values of virtual tokens before those of a sequence (model/prefix.h): as attention reads
// them, with all norms and rotations done.
struct PrefixSpec {
  TensorId keys = -1;    // [virtual tokens, kv_heads * qk_columns]
  TensorId values = -1;  // [virtual tokens, kv_heads * v_columns]
};

struct AttentionSpec {
  LinearSpec q, k, v, o;
  NormSpec q_norm, k_norm;  // over each head, before the rotary embedding
  int heads = 0;
  int kv_heads = 0;
  int qk_columns = 0;  // per head
  int v_columns = 0;   // per head
  int rotary = 0;      // columns of a head that rotate; 0: none
  float scale = 1;
  PrefixSpec prefix;  // -1: none

  int64_t key_columns() const { return int64_t{kv_heads} * qk_columns; }
  int64_t value_columns() const { return int64_t{kv_heads} * v_columns; }
};

struct MlpSpec {
  LinearSpec gate;  // weight -1: not gated
  LinearSpec up, down;
  ActivationKind activation = ActivationKind::kRelu;
  int64_t columns = 0;
};

struct BlockSpec {
  bool norm_first = true;  // false: normalise after the residual sum
  NormSpec attention_norm, mlp_norm;
  AttentionSpec attention;
  MlpSpec mlp;
};

struct RopeSpec {
  std::vector<float>
      inverse_frequencies;     // of pairs of a head's columns; none: no rotary embedding
  int64_t first_position = 0;  // of a sequence's first token
  float amplitude = 1;         // of cosines and sines (YaRN)
};

// What was added to a model to be trained in its place: LoRA's adapters, or a prefix.
struct AdapterSpec {
  int64_t rank = 0;  // of LoRA; 0: there is none
  double alpha = 0;
  float scale = 1;                   // alpha / rank
  std::vector<std::string> modules;  // with adapters, in order
  int64_t virtual_tokens = 0;        // of a prefix; 0: there is none
  // What they are before the first step: drawn under this seed, or given, with this fingerprint.
  uint64_t seed = 0;
  std::string fingerprint;

  explicit operator bool() const { return rank > 0 || virtual_tokens > 0; }
};

struct ModelSpec {
  std::string family;
  int64_t vocabulary = 0;
  int64_t hidden = 0;
  int64_t max_positions = 0;        // longest sequence
  std::string max_positions_field;  // the field of config.json that limits it
  TensorId token_table = -1;
  TensorId position_table = -1;  // learned positions
  // Added to a position before the look-up: OPT's 2, and the tokens of a prefix.
  int64_t position_offset = 0;
  LinearSpec project_in, project_out;  // between embedding width and hidden
  std::vector<BlockSpec> blocks;
  NormSpec final_norm;
  TensorId head = -1;  // token_table when tied
  // Below its first trained tensor the model is evaluated once for all branches. False: once each,
  // for comparison.
  bool shares_branches = true;
  RopeSpec rope;
  std::vector<TensorSpec> tensors;  // canonical order; the index is the tensor id
  AdapterSpec adapter;

  int64_t embedding_columns() const { return tensors[static_cast<size_t>(token_table)].columns(); }
  int head_block() const { return static_cast<int>(blocks.size()) + 1; }
  int64_t parameters() const;
};

}  // namespace zo2
