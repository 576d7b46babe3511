#include "model/lora.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/error.h"
#include "core/lanes.h"

namespace zo2 {
namespace {

constexpr const char* kAllLinear = "all-linear";
constexpr const char* kField = "lora.targetModules";
constexpr const char* kPrefix = "base_model.model.";  // of PEFT's names of tensors

// Every product of the model but the head's, by the id of its weight.
template <typename Model>
auto products_of(Model& model) {
  using Linear = std::remove_reference_t<decltype((model.project_in))>;  // const if the model is
  std::map<TensorId, Linear*> products;
  const auto add = [&](Linear& linear) {
    if (linear.weight >= 0) products[linear.weight] = &linear;
  };
  add(model.project_in);
  for (auto& block : model.blocks)
    for (Linear* linear : {&block.attention.q, &block.attention.k, &block.attention.v,
                           &block.attention.o, &block.mlp.gate, &block.mlp.up, &block.mlp.down})
      add(*linear);
  add(model.project_out);
  return products;
}

// A module of Hugging Face's model: one product, or several whose weights are stored as one.
struct Module {
  std::string name;
  std::vector<LinearSpec*> parts;
};

std::vector<Module> modules_of(ModelSpec& model) {
  std::vector<Module> modules;
  for (const auto& [weight, linear] : products_of(model)) {
    const std::string name = module_of(model.tensors[static_cast<size_t>(weight)].source.name);
    if (modules.empty() || modules.back().name != name) modules.push_back({name, {}});
    modules.back().parts.push_back(linear);
  }
  return modules;
}

// PEFT's default, of the families that are known.
NamePattern queries_and_values(const std::vector<Module>& modules) {
  const bool fused = std::any_of(modules.begin(), modules.end(),
                                 [](const Module& m) { return m.name.ends_with(".c_attn"); });
  return fused ? NamePattern{"", {"c_attn"}} : NamePattern{"", {"q_proj", "v_proj"}};
}

std::vector<bool> meant(const NamePattern& targets, const std::vector<Module>& modules) {
  if (targets.regex == kAllLinear || targets.names == std::vector<std::string>{kAllLinear})
    return std::vector<bool>(modules.size(), true);
  std::vector<std::vector<std::string>> names;
  for (const Module& module : modules) names.push_back({module.name});
  return match(targets ? targets : queries_and_values(modules), kField, names);
}

// `part` of a module: the rows of its own that B has, of all the module's.
struct Part {
  std::string name;
  int64_t rows = 0, first_row = 0, module_rows = 0;
  int block = 0;
};

TensorId add_tensor(ModelSpec& model, const std::string& name, const std::string& stored,
                    const Part& part, int64_t columns) {
  TensorSpec t;
  t.name = name;
  t.shape = {part.rows, columns};
  t.source.name = kPrefix + stored;
  t.source.shape = {part.module_rows, columns};
  t.source.first_row = part.first_row;
  t.role = Role::kAdapter;
  t.block = part.block;
  model.tensors.push_back(std::move(t));
  return static_cast<TensorId>(model.tensors.size()) - 1;
}

void adapt(ModelSpec& model, const Module& module, int64_t rank) {
  const auto weight_of = [&](const LinearSpec* linear) {
    return model.tensors[static_cast<size_t>(linear->weight)];  // a copy: the list grows
  };
  const TensorSpec first = weight_of(module.parts[0]);
  const int64_t columns = first.columns();
  if (rank > std::min(first.source.rows(), columns))
    throw Error(ErrorCode::kInvalidConfig,
                "lora.r is " + std::to_string(rank) + ", but " + module.name + " is " +
                    std::to_string(first.source.rows()) + " x " + std::to_string(columns) +
                    "; give at most the smaller, or other lora.targetModules");
  const std::string a = module.name + ".lora_A.weight", b = module.name + ".lora_B.weight";
  // Parts that are stored as one read the same x through the same A.
  const TensorId down = add_tensor(model, a, a, {a, rank, 0, rank, first.block}, columns);
  for (LinearSpec* linear : module.parts) {
    const TensorSpec t = weight_of(linear);
    const std::string own = module_of(t.name) + ".lora_B.weight";
    const Part part{own, t.rows(), t.source.first_row, t.source.rows(), t.block};
    linear->lora = {down, add_tensor(model, own, b, part, rank)};
  }
}

}  // namespace

void add_lora(ModelSpec& model, const LoraShape& shape) {
  for (TensorSpec& t : model.tensors) t.trainable = false;
  const std::vector<Module> modules = modules_of(model);
  const std::vector<bool> chosen = meant(shape.targets, modules);
  model.adapter.rank = shape.rank;
  model.adapter.alpha = shape.alpha;
  model.adapter.scale = static_cast<float>(shape.alpha / static_cast<double>(shape.rank));
  for (size_t i = 0; i < modules.size(); ++i) {
    if (!chosen[i]) continue;
    adapt(model, modules[i], shape.rank);
    model.adapter.modules.push_back(modules[i].name);
  }
}

std::map<TensorId, LoraSpec> adapters_by_weight(const ModelSpec& model) {
  std::map<TensorId, LoraSpec> adapters;
  for (const auto& [weight, linear] : products_of(model))
    if (linear->lora.a >= 0) adapters[weight] = linear->lora;
  return adapters;
}

void lora_start(const ModelSpec& model, uint64_t seed, TensorId tensor, float* out) {
  const TensorSpec& t = model.tensors[static_cast<size_t>(tensor)];
  const int64_t rows = t.rows(), columns = t.columns();
  std::fill_n(out, rows * columns, 0.0f);
  if (!t.name.ends_with(".lora_A.weight")) return;
  const float root = std::sqrt(static_cast<float>(columns));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; column += 4) {
      const Words w =
          philox(seed, static_cast<uint32_t>(column / 4), static_cast<uint32_t>(row),
                 static_cast<uint32_t>(tensor), counter_word3(Purpose::kAdapterInit, 0));
      for (int64_t i = 0; i < std::min<int64_t>(4, columns - column); ++i) {
        const float u = static_cast<float>(w.x[i] >> 8) * 0x1p-24f;
        out[row * columns + column + i] = (2 * u - 1) / root;
      }
    }
  }
}

}  // namespace zo2
