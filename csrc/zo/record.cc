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

template <class T>
std::vector<T> parse_numbers(const Json* list) {
  std::vector<T> values;
  for (const Json& v : list->items())
    values.push_back(v.is_null() ? static_cast<T>(NAN) : static_cast<T>(v.number()));
  return values;
}

}  // namespace

Json Record::to_json() const {
  Json json = Json::object();
  json.set("record", "step");
  json.set("step", step);
  json.set("seed", seed);
  json.set("learningRate", learning_rate);
  json.set("lossPlus", numbers(loss_plus));
  json.set("lossMinus", numbers(loss_minus));
  json.set("projectedGrad", numbers(projected_grad));
  json.set("decay", static_cast<double>(decay));
  json.set("coefficients", numbers(coefficients));
  json.set("skipped", skipped);
  return json;
}

Record Record::from_json(const Json& json, const std::string& what) {
  const auto field = [&](const char* name, bool (Json::*is)() const) {
    const Json* value = json.find(name);
    if (!value || !(value->*is)())
      throw Error(ErrorCode::kJournalCorrupt,
                  what + ": \"" + name + "\" is missing or of the wrong type");
    return value;
  };
  Record r;
  r.step = static_cast<uint64_t>(field("step", &Json::is_number)->integer());
  r.seed = static_cast<uint64_t>(field("seed", &Json::is_number)->integer());
  r.learning_rate = field("learningRate", &Json::is_number)->number();
  r.loss_plus = parse_numbers<double>(field("lossPlus", &Json::is_array));
  r.loss_minus = parse_numbers<double>(field("lossMinus", &Json::is_array));
  r.projected_grad = parse_numbers<double>(field("projectedGrad", &Json::is_array));
  r.decay = static_cast<float>(field("decay", &Json::is_number)->number());
  r.coefficients = parse_numbers<float>(field("coefficients", &Json::is_array));
  const Json* skipped = json.find("skipped");
  r.skipped = skipped && skipped->type() == Json::Type::kBool && skipped->boolean();
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
