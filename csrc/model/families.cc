#include "model/families.h"

#include "core/error.h"

namespace zo2 {

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      {"OPTForCausalLM", "OPTModel", "opt", describe_opt},
      {"LlamaForCausalLM", "LlamaModel", "llama", describe_llama},
      {"MistralForCausalLM", "MistralModel", "mistral", describe_mistral},
      {"Qwen2ForCausalLM", "Qwen2Model", "qwen2", describe_qwen2},
      {"Qwen3ForCausalLM", "Qwen3Model", "qwen3", describe_qwen3},
      {"GPT2LMHeadModel", "GPT2Model", "gpt2", describe_gpt2},
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

void SpecBuilder::head(bool tied) {
  if (tied) {
    spec_.head = spec_.token_table;
    spec_.tensors[static_cast<size_t>(spec_.token_table)].source.aliases.push_back(kHeadWeight);
    return;
  }
  const int64_t columns = spec_.tensors[static_cast<size_t>(spec_.token_table)].columns();
  spec_.head = add(kHeadWeight, {spec_.vocabulary, columns}, Role::kLinear);
}

namespace {

// By its architecture, or where a config has none, as save_pretrained of a bare config writes it,
// by its type. Null: unknown.
const Family* family_of(const std::string& architecture, const std::string& type) {
  for (const Family& family : families())
    if (architecture.empty() ? type == family.model_type
                             : architecture == family.architecture || architecture == family.bare)
      return &family;
  return nullptr;
}

// transformers picks the class by the type: where the two name different families, it is not clear
// what the files hold.
void check_type(const ConfigReader& reader, const Family& family, const std::string& type) {
  for (const Family& other : families())
    if (type == other.model_type && type != family.model_type)
      reader.unsupported("model_type", "is \"" + type + "\", but architectures names " +
                                           family.architecture + "; make them one");
}

}  // namespace

ModelSpec describe_model(const Json& config, const std::string& path) {
  if (!config.is_object())
    throw Error(ErrorCode::kInvalidModel, path + ": must hold a JSON object");
  const ConfigReader reader(config, path);
  if (reader.find("quantization_config"))
    reader.unsupported("quantization_config",
                       "is given; only weights stored as F32, F16 or BF16 are read");
  if (!reader.boolean_or("is_causal", true))
    reader.unsupported("is_causal",
                       "is false; only models that read from left to right are supported");
  std::string architecture;
  if (const Json* list = config.find("architectures");
      list && list->is_array() && !list->items().empty()) {
    if (!list->items()[0].is_string()) reader.invalid("architectures", "must be a list of names");
    architecture = list->items()[0].string();
  }
  const std::string type = reader.string_or("model_type", "");
  if (const Family* family = family_of(architecture, type)) {
    check_type(reader, *family, type);
    return family->describe(reader);
  }
  std::string known;
  for (const Family& family : families())
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  reader.unsupported("architectures", "is \"" + (architecture.empty() ? type : architecture) +
                                          "\", which zo2 does not know; it knows " + known);
}

ActivationKind activation_of(const ConfigReader& config, const std::string& field,
                             const char* fallback) {
  const std::string name = config.string_or(field, fallback);
  if (name == "relu") return ActivationKind::kRelu;
  if (name == "silu" || name == "swish") return ActivationKind::kSilu;
  if (name == "gelu" || name == "gelu_python") return ActivationKind::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return ActivationKind::kGeluTanh;
  config.unsupported(
      field, "is \"" + name + "\"; supported: relu, silu, gelu, gelu_new, gelu_pytorch_tanh");
}

}  // namespace zo2
