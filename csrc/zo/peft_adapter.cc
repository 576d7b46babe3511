#include "zo/peft_adapter.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "core/hash64.h"

namespace zo2 {
namespace {

[[noreturn]] void invalid(const std::string& what) { throw Error(ErrorCode::kInvalidModel, what); }

Json object_in(Env& env, const std::string& path) {
  Json json = Json::parse(env.read_all(path), path);
  if (!json.is_object()) invalid(path + ": must hold a JSON object");
  return json;
}

std::string sides_of(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t n : shape) text += (text.empty() ? "" : " x ") + std::to_string(n);
  return text;
}

}  // namespace

PeftAdapter::PeftAdapter(Env& env, const std::string& directory)
    : config_path_(directory + "/" + kAdapterConfig),
      config_(object_in(env, config_path_)),
      path_(directory + "/" + kAdapterWeights),
      weights_(env, path_) {}

void PeftAdapter::match(const ModelSpec& model) {
  std::set<std::string> expected;
  places_.clear();
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const TensorSpec& t = model.tensors[i];
    if (t.role != Role::kAdapter) continue;
    if (places_.empty()) first_ = static_cast<TensorId>(i);
    expected.insert(t.source.name);
    const auto& stored = weights_.tensors();
    const auto found = std::find_if(stored.begin(), stored.end(), [&](const SafetensorsTensor& s) {
      return s.name == t.source.name;
    });
    if (found == stored.end())
      invalid(path_ + ": has no tensor " + t.source.name + ", which this model needs");
    if (found->shape != t.source.shape)
      invalid(path_ + ": " + found->name + " is " + sides_of(found->shape) +
              "; for this model it must be " + sides_of(t.source.shape));
    places_.push_back({static_cast<size_t>(found - stored.begin()), t.source.first_row, t.rows(),
                       t.source.first_column, t.columns()});
  }
  for (const SafetensorsTensor& s : weights_.tensors())
    if (!expected.contains(s.name))
      invalid(path_ + ": " + s.name +
              " belongs to no adapter of this model; give the model that the "
              "adapter was made for");
}

void PeftAdapter::read(TensorId tensor, float* out) const {
  const Place& place = places_[static_cast<size_t>(tensor - first_)];
  SafetensorsTensor stored = weights_.tensors()[place.stored];
  if (stored.shape[1] == place.columns)
    return weights_.read_rows(stored, place.row, place.rows, out);
  // Parts that lie side by side are of one width: all of them as rows of it, one after another.
  const int64_t parts = stored.shape[1] / place.columns, part = place.column / place.columns;
  stored.shape = {stored.shape[0] * parts, place.columns};
  for (int64_t i = 0; i < place.rows; ++i)
    weights_.read_rows(stored, (place.row + i) * parts + part, 1, out + i * place.columns);
}

std::string PeftAdapter::fingerprint(const AdapterSpec& shape) const {
  Hash64 hash;
  if (shape.rank > 0) {
    hash.add(static_cast<uint64_t>(shape.rank));
    hash.add(Json(shape.alpha).dump());
  } else {
    hash.add(static_cast<uint64_t>(shape.virtual_tokens));
  }
  std::vector<float> values;
  for (size_t i = 0; i < places_.size(); ++i) {
    values.resize(static_cast<size_t>(places_[i].elements()));
    read(first_ + static_cast<TensorId>(i), values.data());
    hash.add(std::string_view(reinterpret_cast<const char*>(values.data()),
                              values.size() * sizeof(float)));
  }
  return hash.hex();
}

}  // namespace zo2
