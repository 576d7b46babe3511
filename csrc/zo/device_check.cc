#include "zo/device_check.h"

#include <cmath>
#include <cstring>

#include "core/lanes.h"
#include "device/op_rig.h"
#include "store/encode.h"
#include "zo/names.h"

namespace zo2 {
namespace {

// One panel, and a number of columns that no vector or tile divides.
constexpr int64_t kRows = 128, kColumns = 200, kTokens = 24;
constexpr uint32_t kTensor = 7;
constexpr uint64_t kSeed = 20250312;
constexpr double kTolerance = 2e-2;  // of the root mean square of results: 16-bit inputs

std::vector<float> numbers(int64_t n, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    const Words w = philox(seed, static_cast<uint32_t>(i), 0, 0, 0);
    values[i] = static_cast<float>(w.x[0] >> 8) * 0x1p-23f - 1.0f;
  }
  return values;
}

// A weight with two records pending, both of which are to be written back.
struct Stored {
  explicit Stored(StorageType type) : type(type) {
    const std::vector<float> values = numbers(kRows * kColumns, kSeed);
    data.resize(static_cast<size_t>(kRows * kColumns) * storage_bytes(type));
    aux.resize(storage_aux_bytes(type, kRows, kColumns));
    encode_rows(type, values.data(), kRows, kColumns, data.data(), aux.data(), {name, name});
    for (size_t i = 0; i < 2; ++i)
      updates[i] = {kSeed + i, 1e-3f, &coefficients[i], 1, is_rounded(type)};
  }
  Weight on(OpRig& rig) const {
    Weight w;
    w.data = rig.put(data);
    if (!aux.empty()) w.aux = rig.put(aux);
    w.type = type;
    w.tensor = kTensor;
    w.rows = kRows;
    w.columns = kColumns;
    return w;
  }

  std::string name = "self-test";
  StorageType type;
  Bytes data, aux;
  float coefficients[2] = {0.01f, -0.02f};
  Update updates[2];
};

Bytes updated(Device& device, const Stored& stored) {
  OpRig rig(device);
  Apply apply;
  apply.weight = stored.on(rig);
  apply.weight.pending = {stored.updates, 2, 2};
  rig.run({apply});
  Bytes bytes = rig.get(apply.weight.data);
  if (apply.weight.aux) {
    const Bytes more = rig.get(apply.weight.aux);
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  return bytes;
}

float narrowed(float x, FloatType type) {
  switch (type) {
    case FloatType::kBF16: return bf16_to_f32(f32_to_bf16(x));
    case FloatType::kF16: return f16_to_f32(f32_to_f16(x));
    case FloatType::kF32: break;
  }
  return x;
}

// y of both branches, in f32.
std::vector<float> product(Device& device, const Stored& stored) {
  OpRig rig(device);
  const FloatType type = input_type(device.info(), stored.type);
  std::vector<float> x = numbers(2 * kTokens * kColumns, kSeed + 1);
  Bytes inputs(x.size() * float_bytes(type));
  for (size_t i = 0; i < x.size(); ++i) {
    // The same numbers for both devices, whatever they keep inputs in.
    x[i] = narrowed(x[i], product_type(stored.type));
    const uint16_t half = type == FloatType::kF16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
    if (type == FloatType::kF32)
      std::memcpy(inputs.data() + 4 * i, &x[i], 4);
    else
      std::memcpy(inputs.data() + 2 * i, &half, 2);
  }
  const Branch branches[2] = {{0, 1e-2f}, {0, -1e-2f}};
  Linear linear;
  linear.weight = stored.on(rig);
  linear.x = Floats(rig.put(inputs), type);
  linear.y = Floats(rig.room(2 * kTokens * kRows * sizeof(float)));
  linear.m = kTokens;
  linear.y_columns = kRows;
  linear.branches.seed = kSeed;
  linear.branches.branch = branches;
  linear.branches.count = 2;
  rig.run({linear});
  const Bytes bytes = rig.get(linear.y);
  std::vector<float> y(bytes.size() / sizeof(float));
  std::memcpy(y.data(), bytes.data(), bytes.size());
  return y;
}

std::string compare(const std::vector<float>& got, const std::vector<float>& expected) {
  double squares = 0, worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(double{got[i]} - expected[i]);
    worst = std::isfinite(difference) ? std::max(worst, difference) : HUGE_VAL;
    squares += double{expected[i]} * expected[i];
  }
  const double unit = std::sqrt(squares / static_cast<double>(expected.size()));
  if (worst <= kTolerance * unit) return "";
  return "off by " + std::to_string(worst / unit) + " of the typical result";
}

}  // namespace

std::vector<DeviceCheck> check_device(Device& device, Device& reference) {
  std::vector<DeviceCheck> checks;
  for (const StorageType type : {StorageType::kF32, StorageType::kBF16, StorageType::kF16,
                                 StorageType::kBF16R8, StorageType::kQ8, StorageType::kQ8Scales}) {
    const Stored stored(type);
    const bool same = updated(device, stored) == updated(reference, stored);
    checks.push_back({std::string("updates in ") + name_of(type),
                      same ? "" : "other bits than the reference's"});
    checks.push_back({std::string("products in ") + name_of(type),
                      compare(product(device, stored), product(reference, stored))});
  }
  return checks;
}

}  // namespace zo2
