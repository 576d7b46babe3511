#include "model/families.h"

#include <cmath>

#include "core/error.h"

namespace zo2 {

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {"OPTForCausalLM", "opt", describe_opt},
      {"LlamaForCausalLM", "llama", describe_llama},
      {"MistralForCausalLM", "mistral", describe_mistral},
      {"Qwen2ForCausalLM", "qwen2", describe_qwen2},
      {"Qwen3ForCausalLM", "qwen3", describe_qwen3},
      {"GPT2LMHeadModel", "gpt2", describe_gpt2},
  };
  return kFamilies;
}

const char* role_name(Role role) {
  switch (role) {
    case Role::kEmbedding: return "embedding";
    case Role::kLinear: return "linear";
    case Role::kNorm: return "norm";
    case Role::kBias: return "bias";
    case Role::kAdapter: return "adapter";
  }
  return "";
}

int64_t ModelSpec::parameters() const {
  int64_t sum = 0;
  for (const TensorSpec& t : tensors) sum += t.elements();
  return sum;
}

TensorId SpecBuilder::add(const std::string& name, std::vector<int64_t> shape, Role role) {
  TensorSpec t;
  t.name = t.source.name = name;
  t.shape = t.source.shape = std::move(shape);
  t.role = role;
  t.block = block_;
  spec_.tensors.push_back(std::move(t));
  return static_cast<TensorId>(spec_.tensors.size()) - 1;
}

LinearSpec SpecBuilder::linear(const std::string& name, int64_t out, int64_t in, bool bias,
                               const StoredAs& stored) {
  const bool fused = stored.rows > 0;
  const int64_t rows = fused ? stored.rows : out;
  const auto add_stored = [&](const char* end, std::vector<int64_t> shape, Role role) {
    const std::string own = fused ? name + "." + stored.part + end : name + end;
    const TensorId id = add(own, std::move(shape), role);
    TensorSource& source = spec_.tensors.back().source;
    source.name = name + end;
    source.shape[0] = rows;
    source.first_row = stored.row;
    if (source.is_matrix() && stored.transposed) {
      source.transposed = true;
      std::swap(source.shape[0], source.shape[1]);
    }
    return id;
  };
  LinearSpec l;
  l.weight = add_stored(".weight", {out, in}, Role::kLinear);
  if (bias) l.bias = add_stored(".bias", {out}, Role::kBias);
  return l;
}

NormSpec SpecBuilder::norm(const std::string& name, int64_t n, NormKind kind, double epsilon,
                           bool bias) {
  NormSpec norm;
  norm.kind = kind;
  norm.epsilon = static_cast<float>(epsilon);
  norm.gain = add(name + ".weight", {n}, Role::kNorm);
  if (bias) norm.bias = add(name + ".bias", {n}, Role::kBias);
  return norm;
}

void SpecBuilder::alias_prefix(const std::string& from, const std::string& to) {
  for (TensorSpec& t : spec_.tensors)
    if (t.source.name.starts_with(from))
      t.source.aliases.push_back(to + t.source.name.substr(from.size()));
}

ModelSpec describe_model(const Json& config, const std::string& path) {
  if (!config.is_object())
    throw Error(ErrorCode::kInvalidModel, path + ": must hold a JSON object");
  const ConfigReader reader(config, path);
  if (reader.find("quantization_config"))
    reader.unsupported("quantization_config",
                       "is given; only weights stored as F32, F16 or BF16 are read");
  std::string architecture;
  if (const Json* list = config.find("architectures");
      list && list->is_array() && !list->items().empty()) {
    if (!list->items()[0].is_string()) reader.invalid("architectures", "must be a list of names");
    architecture = list->items()[0].string();
  }
  const std::string type = reader.string_or("model_type", "");
  std::string known;
  for (const Family& family : families()) {
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
    // A config without architectures (as save_pretrained of a bare config writes it) is judged by
    // its type.
    if (architecture.empty() ? type == family.model_type : architecture == family.architecture)
      return family.describe(reader);
  }
  reader.unsupported("architectures", "is \"" + (architecture.empty() ? type : architecture) +
                                          "\", which zo2 does not know; it knows " + known);
}

ActivationKind activation_of(const ConfigReader& config, const std::string& field,
                             const char* fallback) {
  const std::string name = config.string_or(field, fallback);
  if (name == "relu") return ActivationKind::kRelu;
  if (name == "silu" || name == "swish") return ActivationKind::kSilu;
  if (name == "gelu") return ActivationKind::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return ActivationKind::kGeluTanh;
  config.unsupported(
      field, "is \"" + name + "\"; supported: relu, silu, gelu, gelu_new, gelu_pytorch_tanh");
}

namespace {

// Llama 3's rule ("Llama 3.1" config, transformers' _compute_llama3_parameters): long wavelengths
// are slowed down by `factor`, short ones kept, those between blended.
void scale_llama3(const ConfigReader& rope, std::vector<float>& frequencies) {
  const double factor = rope.number_or("factor", 8), low = rope.number_or("low_freq_factor", 1),
               high = rope.number_or("high_freq_factor", 4);
  const double original = static_cast<double>(rope.positive("original_max_position_embeddings"));
  if (!(factor > 0) || !(high > low))
    rope.invalid("factor", "and low/high_freq_factor are inconsistent");
  for (float& f : frequencies) {
    const double wavelength = 2 * M_PI / f;
    if (wavelength < original / high) continue;
    const double smooth = (original / wavelength - low) / (high - low);
    const double scaled = f / factor;
    f = static_cast<float>(wavelength > original / low ? scaled
                                                       : (1 - smooth) * scaled + smooth * f);
  }
}

}  // namespace

RopeSpec rope_of(const ConfigReader& config, int columns) {
  // transformers 5 keeps everything in rope_parameters; earlier versions rope_theta beside
  // rope_scaling.
  const Json* parameters = config.object("rope_parameters");
  const std::string field = parameters ? "rope_parameters" : "rope_scaling";
  const ConfigReader rope =
      config.nested(parameters ? parameters : config.object("rope_scaling"), field);
  for (const ConfigReader& reader : {config, rope})
    if (reader.number_or("partial_rotary_factor", 1) != 1)
      reader.unsupported("partial_rotary_factor",
                         "is not 1: heads that turn in part are not supported");
  const double theta = rope.number_or("rope_theta", config.number_or("rope_theta", 10000.0));
  const std::string type = rope.string_or("rope_type", rope.string_or("type", "default"));
  if (!(theta > 0)) config.invalid("rope_theta", "must be positive");

  RopeSpec spec;
  for (int i = 0; i < columns / 2; ++i)
    spec.inverse_frequencies.push_back(
        1.0f / static_cast<float>(
                   std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(columns))));
  if (type == "linear") {
    const double factor = rope.number_or("factor", 1);
    if (!(factor > 0)) rope.invalid("factor", "must be positive");
    for (float& f : spec.inverse_frequencies) f /= static_cast<float>(factor);
  } else if (type == "llama3") {
    scale_llama3(rope, spec.inverse_frequencies);
  } else if (type != "default") {
    rope.unsupported("rope_type", "is \"" + type + "\"; supported: default, linear, llama3");
  }
  return spec;
}

}  // namespace zo2
