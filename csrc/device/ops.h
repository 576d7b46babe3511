// Ops as values: everything a device can be asked to compute. Shapes are written
// [branch][row][column]; activations (Floats) are rows of all sequences packed one after another (T
// rows), branches outermost. Sums are fp32, whatever the type that a result is kept in.
#pragma once

#include <cstdint>
#include <variant>

#include "device/device.h"
#include "device/weights.h"

namespace zo2 {

// y[b][t] (+)= table_b[ids[t]] for the ids that fall into the weight's rows; others are left alone.
struct Embed {
  static constexpr const char* kName = "Embed";
  Weight table;
  // Empty: table.data holds all the weight's rows. Else only these, in this order: int32 [n],
  // ascending.
  View gathered;
  View ids;  // int32 [tokens]
  Floats y;  // [branches][tokens][columns]
  int64_t tokens = 0;
  bool accumulate = false;
  Branches branches;

  // Rows of the table that table.data holds.
  int64_t held_rows() const {
    return gathered ? static_cast<int64_t>(gathered.bytes / sizeof(int32_t)) : table.rows;
  }
};

// y[b][m][y_column + j] (+)= x[b][m] . w_b[row + j] + bias_b[row + j], j over the weight's rows.
struct Linear {
  static constexpr const char* kName = "Linear";
  Weight weight;
  Vector bias;
  Floats x;  // [branches][m][columns]
  Floats y;  // [branches][m][y_columns]
  int64_t m = 0;
  int64_t y_columns = 0;
  int64_t y_column = 0;
  bool accumulate = false;  // adds to y: residual connections
  Branches branches;
};

enum class NormKind : uint8_t { kNone, kLayer, kRms };

// y[b][i] = norm(x[b][rows ? rows[i] : i]) * gain_b (+ bias_b). kNone copies (gathers).
struct Norm {
  static constexpr const char* kName = "Norm";
  NormKind kind = NormKind::kRms;
  Vector gain;
  Vector bias;
  Floats x;     // [branches][x_rows][columns]
  View gather;  // int32 [m] or empty
  Floats y;     // [branches][m][columns]
  int64_t x_rows = 0;
  int64_t m = 0;
  int64_t columns = 0;
  float epsilon = 0;
  Branches branches;
};

// Rotary position embedding in place, rotating pairs (i, i + rotary / 2) of every head.
struct Rope {
  static constexpr const char* kName = "Rope";
  Floats x;        // [branches * tokens][heads * head_columns]
  View positions;  // int32 [tokens]
  View cosine;     // [positions][rotary / 2]
  View sine;
  int64_t tokens = 0;
  int branches = 1;
  int heads = 0;
  int head_columns = 0;
  int rotary = 0;
};

// Keys and values of earlier passes, for sequences that are read piece by piece: sequence s has the
// rows from starts[s], of which the first prefixes[s] are filled.
struct KeyValueCache {
  Floats k;       // [rows][kv_heads * qk_columns]
  Floats v;       // [rows][kv_heads * v_columns]
  View starts;    // int32 [sequences]
  View prefixes;  // int32 [sequences]

  explicit operator bool() const { return static_cast<bool>(starts); }
};

// Keys and values that all queries see before those of their sequences: of virtual tokens.
struct KeyValuePrefix {
  Floats k;  // [branches][tokens][kv_heads * qk_columns]
  Floats v;  // [branches][tokens][kv_heads * v_columns]
  int64_t tokens = 0;
};

// Causal attention of packed sequences; query head h reads key/value head h / (heads / kv_heads).
// With a cache, k and v are appended to it, and queries see what it held before, too.
struct Attention {
  static constexpr const char* kName = "Attention";
  Floats q;             // [branches][tokens][heads * qk_columns]
  Floats k;             // [branches][tokens][kv_heads * qk_columns]
  Floats v;             // [branches][tokens][kv_heads * v_columns]
  Floats y;             // [branches][tokens][heads * v_columns]
  View offsets;         // int32 [sequences + 1]
  KeyValueCache cache;  // empty: sequences are whole; else there is one branch
  KeyValuePrefix prefix;
  int64_t tokens = 0;
  int sequences = 0;
  int64_t longest = 0;  // tokens of the longest sequence, cached ones included
  int branches = 1;
  int heads = 0;
  int kv_heads = 0;
  int qk_columns = 0;
  int v_columns = 0;
  float scale = 1;
};

enum class ActivationKind : uint8_t { kRelu, kSilu, kGelu, kGeluTanh, kScale };

// y = act(x), or act(x) * up for gated blocks; elementwise over n. kScale: factor * x.
struct Activation {
  static constexpr const char* kName = "Activation";
  ActivationKind kind = ActivationKind::kRelu;
  float factor = 1;
  Floats x;
  Floats up;  // empty: not gated
  Floats y;
  int64_t n = 0;
};

// Logits of the weight's rows for m label positions, reduced at once: running log-sum-exp partials
// per 128-row tile of the vocabulary and the logits of the targets. With `last`, the partials are
// combined and logprob[b][i] = logit(target i) - log-sum-exp of its row.
struct HeadLoss {
  static constexpr const char* kName = "HeadLoss";
  Weight weight;
  Floats x;            // [branches][m][columns]
  View target_rows;    // int32 [targets]: which of the m rows
  View target_ids;     // int32 [targets]: vocabulary id
  View partials;       // [branches][m][tiles][2]: maximum and sum of exp(logit - maximum)
  View target_logits;  // [branches][targets]
  View logprobs;       // [branches][targets]
  View logits;         // [branches][m][vocabulary] or empty
  int64_t m = 0;
  int64_t targets = 0;
  int64_t vocabulary = 0;
  bool last = false;
  Branches branches;
};
constexpr int64_t kVocabularyTile = 128;

// Brings stored bytes up to date: replay, 1-D parameters, untied embedding tables.
struct Apply {
  static constexpr const char* kName = "Apply";
  Weight weight;
  Rounding rounding = Rounding::kStochastic;
  Distribution distribution = Distribution::kGaussian;
};

// The value itself (of bf16+8: with its residual) in fp32, without writing it back: export,
// inspection.
struct Materialize {
  static constexpr const char* kName = "Materialize";
  Weight weight;
  View y;  // [rows][columns] fp32
  Rounding rounding = Rounding::kStochastic;
  Distribution distribution = Distribution::kGaussian;
};

struct Op {
  std::variant<Embed, Linear, Norm, Rope, Attention, Activation, HeadLoss, Apply, Materialize>
      value;

  const char* name() const {
    return std::visit([](const auto& of) { return of.kName; }, value);
  }
};

}  // namespace zo2
