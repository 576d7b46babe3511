// Rotary embeddings as configs describe them.
#include <algorithm>
#include <cmath>

#include "model/families.h"

namespace zo2 {
namespace {

constexpr const char* kOriginalPositions = "original_max_position_embeddings";

// What is said of rotary embeddings: transformers 5 keeps all of it in rope_parameters, earlier
// versions rope_theta beside rope_scaling. Where a file has both, transformers lets the second win,
// with another theta: they must say the same.
ConfigReader rope_config(const ConfigReader& config) {
  const auto given = [&](const char* field) {
    const Json* object = config.object(field);
    return object && !object->members().empty() ? object : nullptr;
  };
  const Json *parameters = given("rope_parameters"), *scaling = given("rope_scaling");
  if (!parameters || !scaling)
    return config.nested(parameters ? parameters : scaling,
                         parameters ? "rope_parameters" : "rope_scaling");
  const ConfigReader both = config.nested(parameters, "rope_parameters");
  const double theta = config.nested(scaling, "rope_scaling")
                           .number_or("rope_theta", config.number_or("rope_theta", 10000.0));
  bool same = both.number_or("rope_theta", theta) == theta;
  for (const auto& [key, value] : scaling->members()) {
    const Json* other = parameters->find(key == "type" ? "rope_type" : key);
    same = same && other && other->dump() == value.dump();
  }
  if (!same)
    config.unsupported("rope_scaling", "and rope_parameters say different things; leave one out");
  return both;
}

// Of the context that the model was trained with before it was extended.
double original_positions(const ConfigReader& config, const ConfigReader& rope) {
  for (const ConfigReader* reader : {&config, &rope})
    if (reader->find(kOriginalPositions))
      return static_cast<double>(reader->positive(kOriginalPositions));
  return static_cast<double>(config.positive("max_position_embeddings"));
}

double positive_or(const ConfigReader& rope, const char* field, double otherwise) {
  const double value = rope.number_or(field, otherwise);
  if (!(value > 0)) rope.invalid(field, "must be positive");
  return value;
}

// Llama 3's rule ("Llama 3.1" config, transformers' _compute_llama3_parameters): long wavelengths
// are slowed down by `factor`, short ones kept, those between blended.
void scale_llama3(const ConfigReader& config, const ConfigReader& rope,
                  std::vector<float>& frequencies) {
  const double factor = rope.number_or("factor", 8), low = rope.number_or("low_freq_factor", 1),
               high = rope.number_or("high_freq_factor", 4);
  const double original = original_positions(config, rope);
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

// YaRN (arXiv 2309.00071; transformers' _compute_yarn_parameters): pairs that turn often within the
// original context keep their frequency, those that turn seldom are slowed down by `factor`, with a
// ramp over the pairs between. Cosines and sines are scaled.
void scale_yarn(const ConfigReader& config, const ConfigReader& rope, double theta,
                RopeSpec& spec) {
  if (!(theta > 1)) config.invalid("rope_theta", "must be above 1 for yarn");
  const double original = original_positions(config, rope);
  const double factor =
      rope.find("factor")
          ? positive_or(rope, "factor", 1)
          : static_cast<double>(config.positive("max_position_embeddings")) / original;
  const size_t pairs = spec.inverse_frequencies.size();
  const double columns = 2.0 * static_cast<double>(pairs);
  const auto pair_that_turns = [&](double times) {
    return columns * std::log(original / (times * 2 * M_PI)) / (2 * std::log(theta));
  };
  double first = pair_that_turns(positive_or(rope, "beta_fast", 32));
  double last = pair_that_turns(positive_or(rope, "beta_slow", 1));
  if (rope.boolean_or("truncate", true)) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, columns - 1);
  if (first == last) last += 0.001;
  for (size_t i = 0; i < pairs; ++i) {
    float& f = spec.inverse_frequencies[i];
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(first)) / static_cast<float>(last - first),
        0.0f, 1.0f);
    f = f / static_cast<float>(factor) * ramp + f * (1 - ramp);
  }
  const auto scale = [factor](double m) {
    return factor > 1 ? 0.1 * m * std::log(factor) + 1 : 1.0;
  };
  const double m = rope.number_or("mscale", 0), all = rope.number_or("mscale_all_dim", 0);
  const double inferred = m != 0 && all != 0 ? scale(m) / scale(all) : scale(1);
  spec.amplitude = static_cast<float>(positive_or(rope, "attention_factor", inferred));
}

}  // namespace

RopeSpec rope_of(const ConfigReader& config, int columns) {
  const ConfigReader rope = rope_config(config);
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
    const double factor = positive_or(rope, "factor", 1);
    for (float& f : spec.inverse_frequencies) f /= static_cast<float>(factor);
  } else if (type == "llama3") {
    scale_llama3(config, rope, spec.inverse_frequencies);
  } else if (type == "yarn") {
    scale_yarn(config, rope, theta, spec);
  } else if (type == "dynamic" && !rope.find(kOriginalPositions) &&
             !config.find(kOriginalPositions)) {
    // It begins behind max_position_embeddings, where no sequence is let.
  } else if (type != "default") {
    rope.unsupported("rope_type", "is \"" + type +
                                      "\"; supported: default, linear, llama3, yarn, and dynamic "
                                      "without original_max_position_embeddings");
  }
  return spec;
}

}  // namespace zo2
