#include "zo/record.h"

#include <cmath>

#include "core/error.h"

namespace zo2 {
namespace {

template <class T>
Json numbers(const std::vector<T>& values) {
  Json list = Json::array();
  for (const T v : values) list.push(Json(static_cast<double>(v)));
  return list;
}

[[noreturn]] void damaged(const std::string& what, const char* name, const char* expected) {
  throw Error(ErrorCode::kJournalCorrupt, what + ": \"" + name + "\" must be " + expected +
                                              "; restore the journal from a copy");
}

const Json& field(const Json& json, const char* name, const std::string& what) {
  const Json* value = json.is_object() ? json.find(name) : nullptr;
  if (!value) damaged(what, name, "given");
  return *value;
}

uint64_t integer(const Json& json, const char* name, const std::string& what) {
  const Json& value = field(json, name, what);
  if (value.type() != Json::Type::kInteger || value.integer() < 0)
    damaged(what, name, "an integer of at least 0");
  return static_cast<uint64_t>(value.integer());
}

double number(const Json& json, const char* name, const std::string& what) {
  const Json& value = field(json, name, what);
  if (!value.is_number()) damaged(what, name, "a number");
  return value.number();
}

// null stands for what is not finite, where that may be.
template <class T>
std::vector<T> list(const Json& json, const char* name, const std::string& what, bool finite) {
  const Json& value = field(json, name, what);
  if (!value.is_array()) damaged(what, name, "a list of numbers");
  std::vector<T> values;
  for (const Json& v : value.items()) {
    if (!v.is_number() && (finite || !v.is_null())) damaged(what, name, "a list of numbers");
    values.push_back(v.is_null() ? static_cast<T>(NAN) : static_cast<T>(v.number()));
    if (finite && !std::isfinite(values.back())) damaged(what, name, "a list of finite numbers");
  }
  return values;
}

}  // namespace

Json Record::to_json() const {
  Json json = Json::object();
  json.set("record", "step");
  json.set("step", step);
  json.set("seed", seed);
  json.set("learningRate", learning_rate);
  if (basis_seed) json.set("basisSeed", *basis_seed);
  if (loss && std::isfinite(*loss)) json.set("loss", *loss);
  json.set("lossPlus", numbers(loss_plus));
  json.set("lossMinus", numbers(loss_minus));
  json.set("projectedGrad", numbers(projected_grad));
  json.set("decay", static_cast<double>(decay));
  json.set("coefficients", numbers(coefficients));
  json.set("skipped", skipped);
  if (count > 0) {
    json.set("secondMoment", second_moment);
    json.set("count", count);
  }
  return json;
}

Record Record::from_json(const Json& json, const std::string& what) {
  Record r;
  r.step = integer(json, "step", what);
  r.seed = integer(json, "seed", what);
  r.learning_rate = number(json, "learningRate", what);
  r.loss_plus = list<double>(json, "lossPlus", what, false);
  r.loss_minus = list<double>(json, "lossMinus", what, false);
  r.projected_grad = list<double>(json, "projectedGrad", what, false);
  r.decay = static_cast<float>(number(json, "decay", what));
  if (!std::isfinite(r.decay)) damaged(what, "decay", "a finite number");
  r.coefficients = list<float>(json, "coefficients", what, true);
  const Json& skipped = field(json, "skipped", what);
  if (!skipped.is_bool()) damaged(what, "skipped", "true or false");
  r.skipped = skipped.boolean();
  if (json.find("loss")) r.loss = number(json, "loss", what);
  if (json.find("basisSeed")) r.basis_seed = integer(json, "basisSeed", what);
  if (json.find("count")) {
    r.count = integer(json, "count", what);
    r.second_moment = number(json, "secondMoment", what);
  }
  return r;
}

void Record::commit(PendingUpdates& pending) const {
  if (skipped) {
    pending.skip(step);
  } else {
    pending.append(update());
  }
}

}  // namespace zo2
