// Import and the numbers of bf16+8 and q8 (docs/storage.md), one value at a time.
#include "store/encode.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.h"

namespace zo2::test {
namespace {

uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }
float number(uint32_t u) { return std::bit_cast<float>(u); }

const std::string kTensor = "a.weight", kPath = "/base";
const RowsOrigin kOrigin{kTensor, kPath};

struct Encoded {
  std::vector<int8_t> values;
  std::vector<uint8_t> aux;
  float q8(int64_t columns, int64_t row, int64_t column) const {
    return static_cast<float>(values[static_cast<size_t>(row * columns + column)]) *
           scale(columns, row, column);
  }
  float scale(int64_t columns, int64_t row, int64_t column) const {
    uint16_t half;
    const int64_t at = row * q8_groups(columns) + column / kQ8Group;
    std::memcpy(&half, aux.data() + 2 * at, 2);
    return bf16_to_f32(half);
  }
};
Encoded encoded(StorageType type, const std::vector<float>& rows, int64_t columns) {
  const int64_t count = static_cast<int64_t>(rows.size()) / columns;
  Encoded e;
  e.values.resize(rows.size() * storage_bytes(type));
  e.aux.resize(storage_aux_bytes(type, count, columns));
  encode_rows(type, rows.data(), count, columns, e.values.data(), e.aux.data(), kOrigin);
  return e;
}

std::vector<float> some_floats(uint32_t seed, size_t n, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

TEST_CASE("storage: bf16+8 numbers have one pair, and joining it is exact") {
  std::mt19937 random(1);
  for (uint32_t i = 0; i < 3'000'000; ++i) {
    // The ends of every range first, then anything.
    uint32_t magnitude = i < 70'000    ? i << 8
                         : i < 140'000 ? kBF16R8Largest - ((i - 70'000) << 8)
                                       : random() & 0x7fffff00u;
    if (magnitude > kBF16R8Largest) continue;
    const float value = number(magnitude | (i % 2 ? 0x80000000u : 0));
    const uint16_t plane = plane_of(value);
    if (bits(join_bf16r8(plane, residual_of(value))) != bits(value))
      return fail(__FILE__, __LINE__, "not joined: " + show(bits(value)));
    // The plane is the best bf16: no further away than what is nearest, ties to even.
    const double own = std::fabs(double{bf16_to_f32(plane)} - double{value});
    const double best = std::fabs(double{bf16_to_f32(f32_to_bf16(value))} - double{value});
    if (own > best) return fail(__FILE__, __LINE__, "not nearest: " + show(bits(value)));
    if (!std::isfinite(bf16_to_f32(plane))) return fail(__FILE__, __LINE__, "infinite plane");
    if (bits(nearest_bf16r8(value)) != bits(value)) return fail(__FILE__, __LINE__, "moved");
  }
  for (uint32_t pair = 0; pair < 1u << 24; pair += 0x101) {  // and every pair is of one number
    const uint16_t plane = static_cast<uint16_t>(pair >> 8);
    const int8_t residual = static_cast<int8_t>(pair & 0xff);
    if ((plane & 0x7fff) == 0 && residual < 0) continue;  // below zero there is none
    const float value = join_bf16r8(plane, residual);
    if ((bits(value) & 0x7fffffffu) > kBF16R8Largest) continue;
    CHECK(plane_of(value) == plane && residual_of(value) == residual);
  }
}

TEST_CASE("storage: rounding to bf16+8 is to nearest, ties to even, and stays finite") {
  CHECK_EQ(bits(nearest_bf16r8(number(0x3f800080))), 0x3f800000u);
  CHECK_EQ(bits(nearest_bf16r8(number(0x3f800180))), 0x3f800200u);
  CHECK_EQ(bits(nearest_bf16r8(number(0x3f800081))), 0x3f800100u);
  CHECK_EQ(bits(nearest_bf16r8(number(0xbfffffff))), 0xc0000000u);
  CHECK_EQ(bits(nearest_bf16r8(number(0x00000001))), 0u);
  CHECK_EQ(bits(nearest_bf16r8(number(0x80000081))), 0x80000100u);
  CHECK_EQ(bits(nearest_bf16r8(std::numeric_limits<float>::max())), kBF16R8Largest);
  CHECK_EQ(bits(nearest_bf16r8(-std::numeric_limits<float>::infinity())), 0xff800000u);
  CHECK(std::isnan(nearest_bf16r8(number(0x7f800001))));
  for (const float x : some_floats(2, 100'000, 1)) {
    const double step = std::ldexp(1.0, std::ilogb(x) - 15);
    CHECK(std::fabs(double{nearest_bf16r8(x)} - double{x}) <= step / 2);
  }
}

TEST_CASE("storage: import to bf16+8 keeps f16 and bf16 numbers, and what it rounds is near") {
  std::vector<float> rows = some_floats(3, 4096, 0.02f);
  for (size_t i = 0; i < rows.size(); i += 3) rows[i] = f16_to_f32(f32_to_f16(rows[i]));
  for (size_t i = 1; i < rows.size(); i += 3) rows[i] = bf16_to_f32(f32_to_bf16(rows[i]));
  const Encoded e = encoded(StorageType::kBF16R8, rows, 64);
  for (size_t i = 0; i < rows.size(); ++i) {
    uint16_t plane;
    std::memcpy(&plane, e.values.data() + 2 * i, 2);
    const float value = join_bf16r8(plane, static_cast<int8_t>(e.aux[i]));
    CHECK_EQ(bits(value), bits(i % 3 == 2 ? nearest_bf16r8(rows[i]) : rows[i]));
  }
}

TEST_CASE("storage: q8 imports to nearest, exactly representable, with room at the ends") {
  constexpr int64_t kColumns = 75;  // the last group is short
  std::vector<float> rows = some_floats(4, 40 * kColumns, 0.02f);
  for (int64_t i = 0; i < kColumns; ++i) rows[static_cast<size_t>(3 * kColumns + i)] = 0;
  for (int64_t i = 32; i < 64; ++i) rows[static_cast<size_t>(5 * kColumns + i)] = 0;
  const Encoded e = encoded(StorageType::kQ8, rows, kColumns);
  for (int64_t r = 0; r < 40; ++r) {
    for (int64_t c = 0; c < kColumns; ++c) {
      const float w = rows[static_cast<size_t>(r * kColumns + c)], s = e.scale(kColumns, r, c);
      const float kept = e.q8(kColumns, r, c);
      CHECK(std::fabs(double{kept} - double{w}) <= 0.5 * double{s} * (1 + 1e-6));
      CHECK(127 * s >= 1.32f * std::fabs(w));
      CHECK(double{kept} == std::round(double{kept} / double{s}) * double{s});
      CHECK(kept / s == std::round(kept / s));  // a weight that nothing moves stays
    }
  }
  CHECK_EQ(e.scale(kColumns, 3, 70), 0x1p-12f);
  const float neighbours = e.scale(kColumns, 5, 0) + e.scale(kColumns, 5, 64);
  CHECK(e.scale(kColumns, 5, 40) > neighbours / 40 && e.scale(kColumns, 5, 40) < neighbours / 10);
}

TEST_CASE("storage: rows are encoded one by one, however they are split") {
  for (const StorageType type : {StorageType::kF32, StorageType::kBF16, StorageType::kF16,
                                 StorageType::kBF16R8, StorageType::kQ8, StorageType::kQ8Scales}) {
    constexpr int64_t kColumns = 40;
    const std::vector<float> rows = some_floats(5, 12 * kColumns, 3);
    const Encoded whole = encoded(type, rows, kColumns);
    Encoded parts;
    for (size_t row = 0; row < 12; row += 4) {
      const auto from = rows.begin() + static_cast<ptrdiff_t>(row * kColumns);
      const Encoded part = encoded(type, {from, from + 4 * kColumns}, kColumns);
      parts.values.insert(parts.values.end(), part.values.begin(), part.values.end());
      parts.aux.insert(parts.aux.end(), part.aux.begin(), part.aux.end());
    }
    CHECK(parts.values == whole.values);
    CHECK(parts.aux == whole.aux);
  }
}

TEST_CASE("storage: what a type cannot hold is named") {
  const float inf = std::numeric_limits<float>::infinity();
  const float most = std::numeric_limits<float>::max();
  const auto refused = [](StorageType type, float value, Texts texts) {
    texts.insert(texts.end(), {"\"a.weight\" of /base holds", "use f32"});
    CHECK_THROWS(ErrorCode::kInvalidConfig, texts, encoded(type, {1, value}, 2));
  };
  refused(StorageType::kF16, 70000, {"70000", "16-bit", "bf16 instead of f16"});
  refused(StorageType::kBF16, most, {"16-bit"});
  refused(StorageType::kBF16R8, most, {"8-bit"});
  refused(StorageType::kQ8, 3e38f, {"8-bit"});
  refused(StorageType::kQ8, inf, {"inf", "8-bit"});
  refused(StorageType::kQ8Scales, inf, {"inf", "8-bit"});
  refused(StorageType::kQ8, std::nanf(""), {"nan", "8-bit"});
  for (const StorageType type : {StorageType::kBF16, StorageType::kF16, StorageType::kBF16R8})
    encoded(type, {inf, -inf}, 2);  // as the base has them
  const Encoded tiny = encoded(StorageType::kQ8, {1e-45f, 0}, 2);
  CHECK_EQ(tiny.scale(2, 0, 0), 0x1p-126f);
}

}  // namespace
}  // namespace zo2::test
