#include "napi/measure.h"

#include "backends/cpu/cpu_device.h"
#include "napi/options.h"
#include "zo/measure.h"

namespace zo2::napi {
namespace {

Napi::Value as_array(Napi::Env env, const std::vector<double>& seconds) {
  Napi::Float64Array out = Napi::Float64Array::New(env, seconds.size());
  for (size_t i = 0; i < seconds.size(); ++i) out[i] = seconds[i];
  return out;
}

int64_t positive(const Napi::Object& options, const char* name, double most) {
  const double value = number_field(options, name);
  if (!(value >= 1 && value <= most && value == static_cast<double>(static_cast<int64_t>(value))))
    throw Napi::RangeError::New(options.Env(), std::string(name) +
                                                   " must be an integer from 1 to " +
                                                   std::to_string(static_cast<int64_t>(most)));
  return static_cast<int64_t>(value);
}

}  // namespace

Napi::Value measure(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject()) throw Napi::TypeError::New(info.Env(), "measure takes an object");
  const auto options = info[0].As<Napi::Object>();
  return guarded(info.Env(), [&] {
    const std::string what = string_field(options, "what"), noise = string_field(options, "noise");
    const int repeats = static_cast<int>(positive(options, "repeats", 1000));
    const auto device = make_cpu_device(
        {static_cast<int>(positive(options, "threads", 4096)), string_field(options, "isa")});
    const bool plain = noise == "none";
    const Distribution distribution =
        plain ? Distribution::kGaussian : named<Distribution>(info.Env(), "noise", noise);
    if (what == "noise")
      return as_array(info.Env(), measure_noise(*device, distribution,
                                                positive(options, "count", 1e10), repeats));
    if (what == "copy")
      return as_array(info.Env(), measure_copy(*device, positive(options, "count", 1e10), repeats));
    if (what == "disk" || what == "file") {
      const int64_t mebibytes = positive(options, "count", 1 << 20);
      const auto measured = what == "disk" ? measure_disk : measure_file;
      const DiskCosts costs = measured(*device, Env::posix(), string_field(options, "path"),
                                       static_cast<size_t>(mebibytes) << 20);
      return as_array(info.Env(), {costs.write, costs.read, costs.both, costs.lost});
    }
    if (what != "linear")
      throw Napi::TypeError::New(info.Env(), "what must be one of linear, noise, copy, disk, file");
    LinearCase linear;
    linear.in = positive(options, "in", 1 << 20);
    linear.out = positive(options, "out", 1 << 20);
    linear.tokens = positive(options, "tokens", 1 << 20);
    linear.trainable = !plain;
    linear.distribution = distribution;
    return as_array(info.Env(), measure_linear(*device, linear, repeats));
  });
}

}  // namespace zo2::napi
