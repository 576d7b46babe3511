// Strips of bf16+8 and q8 in the kernels of every instruction set against one value at a time, as
// docs/storage.md has it.
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "backends/cpu/cpu_device.h"
#include "check.h"
#include "core/lanes.h"
#include "core/normal.h"
#include "device/ops.h"
#include "store/encode.h"

namespace zo2::test {
namespace {

constexpr uint32_t kTensor = 7;
constexpr int64_t kFirstRow = 5;  // of the canonical matrix

float normal_at(uint64_t seed, int64_t row, int64_t column, uint32_t direction) {
  const Words w = philox(seed, static_cast<uint32_t>(column / 4), static_cast<uint32_t>(row),
                         kTensor, counter_word3(Purpose::kPerturbation, direction));
  float z[2];
  box_muller<ScalarLanes>(w.x[column % 4 / 2 * 2], w.x[column % 4 / 2 * 2 + 1], &z[0], &z[1]);
  return z[column % 2];
}
uint32_t rounding_word(uint64_t seed, int64_t row, int64_t column) {
  return philox(seed, static_cast<uint32_t>(column / 4), static_cast<uint32_t>(row), kTensor,
                counter_word3(Purpose::kRounding, 0))
      .x[column % 4];
}

float rounded_bf16r8(float x, Rounding rounding, uint32_t word) {
  if (rounding == Rounding::kNearest) return nearest_bf16r8(x);
  const uint32_t u = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((u + (word >> 24)) & 0xffffff00u);
}
float rounded_q8(float x, float scale, Rounding rounding, uint32_t word, int64_t* saturated) {
  const float steps = std::fmin(std::fmax(x / scale, -128.0f), 128.0f);
  float q = std::nearbyint(steps);
  if (rounding == Rounding::kStochastic) {
    q = std::floor(steps);
    if (steps - q > static_cast<float>(word >> 8) * 0x1p-24f) q += 1;
  }
  if (std::fabs(q) > 127) ++*saturated;
  return std::fmin(std::fmax(q, -127.0f), 127.0f) * scale;
}

// A matrix as stored, what is pending for it, and what must come of it.
struct Matrix {
  StorageType type;
  int64_t rows, columns;
  std::vector<float> base;
  std::vector<uint8_t> values, aux;

  Matrix(StorageType t, int64_t r, int64_t c, float deviation, uint32_t seed)
      : type(t), rows(r), columns(c), base(static_cast<size_t>(r * c)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, deviation);
    for (float& v : base) v = normal(random);
    const std::string name = "w", path = "p";
    values.resize(base.size() * storage_bytes(type));
    aux.resize(storage_aux_bytes(type, rows, columns));
    encode_rows(type, base.data(), rows, columns, values.data(), aux.data(), {name, path});
  }
  size_t at(int64_t r, int64_t c) const { return static_cast<size_t>(r * columns + c); }
  float scale(int64_t r, int64_t c) const {
    uint16_t half;
    std::memcpy(&half, aux.data() + 2 * (r * q8_groups(columns) + c / kQ8Group), 2);
    return bf16_to_f32(half);
  }
  float plane(int64_t r, int64_t c) const {
    uint16_t half;
    std::memcpy(&half, values.data() + 2 * at(r, c), 2);
    return bf16_to_f32(half);
  }
  float stored(int64_t r, int64_t c) const {
    if (type == StorageType::kQ8)
      return static_cast<float>(static_cast<int8_t>(values[at(r, c)])) * scale(r, c);
    return join_bf16r8(static_cast<uint16_t>(std::bit_cast<uint32_t>(plane(r, c)) >> 16),
                       static_cast<int8_t>(aux[at(r, c)]));
  }
};

float moved(float w, const Update& update, int64_t r, int64_t c) {
  float s = update.decay * w;
  for (int k = 0; k < update.directions; ++k)
    s = s +
        update.coefficients[k] * normal_at(update.seed, kFirstRow + r, c, static_cast<uint32_t>(k));
  return w - s;
}

struct Expected {
  std::vector<float> exact, seen, stored;
  int64_t saturated = 0;
};
Expected expected(const Matrix& m, const Pending& pending, Rounding rounding) {
  Expected e;
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t c = 0; c < m.columns; ++c) {
      const bool q8 = m.type == StorageType::kQ8;
      float w = m.stored(r, c), seen = q8 ? w : m.plane(r, c), stored = w;
      for (int u = 0; u < pending.count; ++u) {
        const Update& update = pending.updates[u];
        w = moved(w, update, r, c);
        seen = q8 ? w : moved(seen, update, r, c);
        int64_t met = 0;
        if (update.rounds) {
          const uint32_t word = rounding_word(update.seed, kFirstRow + r, c);
          w = q8 ? rounded_q8(w, m.scale(r, c), rounding, word, &met)
                 : rounded_bf16r8(w, rounding, word);
          seen = q8 ? w : bf16_to_f32(plane_of(w));
        }
        if (u < pending.store_after) {
          e.saturated += met;
          stored = w;
        }
      }
      e.exact.push_back(w);
      e.seen.push_back(seen);
      e.stored.push_back(stored);
    }
  }
  return e;
}

// A matrix in a device's memory.
class Placed {
 public:
  Placed(Device& device, const Matrix& m) : device_(device), matrix_(m) {
    values_ = filled(m.values);
    aux_ = filled(m.aux);
    count_ = device.alloc("count", Tier::kDevice, sizeof(int64_t));
    y_ = device.alloc("y", Tier::kDevice, static_cast<size_t>(m.rows * m.columns) * sizeof(float));
    weight.data = whole(values_);
    weight.aux = whole(aux_);
    weight.type = m.type;
    weight.tensor = kTensor;
    weight.row = kFirstRow;
    weight.rows = m.rows;
    weight.columns = m.columns;
    weight.saturated = {count_.get(), 0, sizeof(int64_t)};
  }

  Weight weight;

  int64_t saturated() const { return *static_cast<const int64_t*>(count_->address()); }
  // What is stored now.
  Matrix now() const {
    Matrix m = matrix_;
    std::memcpy(m.values.data(), values_->address(), m.values.size());
    std::memcpy(m.aux.data(), aux_->address(), m.aux.size());
    return m;
  }

  void apply(Rounding rounding) {
    Apply op;
    op.weight = weight;
    op.rounding = rounding;
    run({op});
  }
  std::vector<float> materialize(Rounding rounding) {
    Materialize op;
    op.weight = weight;
    op.y = whole(y_);
    op.rounding = rounding;
    run({op});
    return result();
  }
  // Every row, by a gather.
  std::vector<float> embed(Rounding rounding) {
    const auto ids = device_.alloc("ids", Tier::kDevice, static_cast<size_t>(weight.rows) * 4);
    for (int64_t r = 0; r < weight.rows; ++r)
      static_cast<int32_t*>(ids->address())[r] = static_cast<int32_t>(kFirstRow + r);
    Embed op;
    op.table = seen_weight();
    op.ids = whole(ids);
    op.y = whole(y_);
    op.tokens = weight.rows;
    op.branches = one_branch(rounding);
    run({op});
    return result();
  }
  // Every column, by products with `together` rows of the identity at a time.
  std::vector<float> multiply(Rounding rounding, int64_t together) {
    const size_t n = static_cast<size_t>(together * weight.columns);
    const auto x = device_.alloc("x", Tier::kDevice, n * sizeof(float));
    const auto y = device_.alloc("y", Tier::kDevice,
                                 static_cast<size_t>(together * weight.rows) * sizeof(float));
    std::vector<float> seen(static_cast<size_t>(weight.rows * weight.columns));
    for (int64_t first = 0; first < weight.columns; first += together) {
      float* ones = static_cast<float*>(x->address());
      std::fill(ones, ones + n, 0.0f);
      const int64_t m = std::min(together, weight.columns - first);
      for (int64_t i = 0; i < m; ++i) ones[i * weight.columns + first + i] = 1;
      Linear op;
      op.weight = seen_weight();
      op.x = whole(x);
      op.y = whole(y);
      op.m = m;
      op.y_columns = weight.rows;
      op.branches = one_branch(rounding);
      run({op});
      for (int64_t i = 0; i < m; ++i)
        for (int64_t r = 0; r < weight.rows; ++r)
          seen[static_cast<size_t>(r * weight.columns + first + i)] =
              static_cast<const float*>(y->address())[i * weight.rows + r];
    }
    return seen;
  }

 private:
  static View whole(const std::unique_ptr<Buffer>& buffer) {
    return {buffer.get(), 0, buffer->bytes()};
  }
  std::unique_ptr<Buffer> filled(const std::vector<uint8_t>& bytes) {
    auto buffer = device_.alloc("bytes", Tier::kDevice, bytes.size());
    std::memcpy(buffer->address(), bytes.data(), bytes.size());
    return buffer;
  }
  static Branches one_branch(Rounding rounding) {
    Branches branches = unperturbed();
    branches.rounding = rounding;
    return branches;
  }
  // Without aux where the rules say that it is not looked at.
  Weight seen_weight() const {
    Weight w = weight;
    if (!reads_aux(w, false)) w.aux = {};
    return w;
  }
  std::vector<float> result() const {
    const float* from = static_cast<const float*>(y_->address());
    return {from, from + weight.rows * weight.columns};
  }
  void run(const Op& op) {
    scratch_ = device_.alloc("scratch", Tier::kDevice, device_.scratch_bytes(op));
    device_.set_scratch(whole(scratch_));
    device_.enqueue(Lane::kCompute, op);
    device_.sync(Lane::kCompute);
  }

  Device& device_;
  Matrix matrix_;
  std::unique_ptr<Buffer> values_, aux_, count_, y_, scratch_;
};

// The first element that differs in value or, where it is not zero, in bits.
void check_same(const char* what, const std::string& where, const std::vector<float>& got,
                const std::vector<float>& wanted) {
  for (size_t i = 0; i < wanted.size(); ++i)
    if (got[i] != wanted[i])
      return fail(__FILE__, __LINE__,
                  std::string(what) + ", " + where + ": element " + show(i) + " is " +
                      show(got[i]) + ", not " + show(wanted[i]));
}

std::vector<float> stored(const Matrix& m) {
  std::vector<float> values;
  for (int64_t r = 0; r < m.rows; ++r)
    for (int64_t c = 0; c < m.columns; ++c) values.push_back(m.stored(r, c));
  return values;
}

struct Shape {
  int64_t rows, columns;
};
// Four records: the third rounds last; the first as well where `twice`.
struct Records {
  float coefficients[2] = {3e-4f, -2e-4f};
  Update updates[4];
  explicit Records(bool twice) {
    for (int i = 0; i < 4; ++i)
      updates[i] = {uint64_t{1000} + static_cast<uint64_t>(i), i % 2 ? 1e-3f : 0.0f, coefficients,
                    i == 1 ? 2 : 1, i == 2 || (twice && i == 0)};
  }
};

void check_everything(Device& device, const Matrix& m, bool twice, Rounding rounding,
                      const std::string& where) {
  const Records records(twice);
  for (const int count : {0, 2, 4}) {
    Pending pending{records.updates, count, 0};
    const Expected e = expected(m, pending, rounding);
    Placed placed(device, m);
    placed.weight.pending = pending;
    check_same("exact", where, placed.materialize(rounding), e.exact);
    check_same("gathered", where, placed.embed(rounding), e.seen);
    check_same("multiplied", where, placed.multiply(rounding, 64), e.seen);
    check_same("multiplied by few", where, placed.multiply(rounding, 3), e.seen);
    CHECK_EQ(placed.saturated(), 0);
    check_same("left alone", where, stored(placed.now()), stored(m));
    if (count < 4) continue;
    pending.store_after = 3;
    const Expected kept = expected(m, pending, rounding);
    placed.weight.pending = pending;
    check_same("multiplied and stored", where, placed.multiply(rounding, m.columns), kept.seen);
    check_same("stored", where, stored(placed.now()), kept.stored);
    CHECK_EQ(placed.saturated(), kept.saturated);
    Placed other(device, m);
    other.weight.pending = pending;
    other.apply(rounding);
    CHECK(other.now().values == placed.now().values && other.now().aux == placed.now().aux);
    CHECK_EQ(other.saturated(), kept.saturated);
  }
}

TEST_CASE("storage: strips of every instruction set are what single values are") {
  const Shape shapes[] = {{3, 5}, {37, 203}, {16, 128}, {65, 300}};
  for (const StorageType type : {StorageType::kBF16R8, StorageType::kQ8})
    for (const std::string& isa : cpu_isas())
      for (const int threads : {1, 3})
        for (const Shape& shape : shapes)
          for (const Rounding rounding : {Rounding::kStochastic, Rounding::kNearest}) {
            const auto device = make_cpu_device({threads, isa});
            const Matrix m(type, shape.rows, shape.columns, 0.02f, 11);
            const std::string where = isa + ", " + show(static_cast<int>(type)) + ", " +
                                      show(shape.rows) + " x " + show(shape.columns);
            check_everything(*device, m, threads == 3, rounding, where);
          }
}

TEST_CASE("storage: q8 counts what meets the end of its grid, bf16+8 stays finite") {
  const float coefficient = 0.02f;  // of the size of the weights
  const Update update{99, 0, &coefficient, 1, true};
  for (const std::string& isa : cpu_isas()) {
    const auto device = make_cpu_device({2, isa});
    const Matrix m(StorageType::kQ8, 67, 181, 0.02f, 12);
    for (const Rounding rounding : {Rounding::kStochastic, Rounding::kNearest}) {
      const Expected e = expected(m, {&update, 1, 1}, rounding);
      Placed placed(*device, m);
      placed.weight.pending = {&update, 1, 1};
      placed.apply(rounding);
      CHECK(e.saturated > 100);
      CHECK_EQ(placed.saturated(), e.saturated);
      check_same("saturated", isa, stored(placed.now()), e.stored);
    }
    Matrix large(StorageType::kBF16R8, 4, 64, 1, 13);
    for (size_t i = 0; i < large.base.size(); ++i) {  // all the largest there is
      large.values[2 * i] = 0x7f;
      large.values[2 * i + 1] = i % 2 ? 0x7f : 0xff;
      large.aux[i] = 0x7f;
    }
    const float much = 1e33f;
    const Update outwards{5, 0, &much, 1, true};
    Placed placed(*device, large);
    placed.weight.pending = {&outwards, 1, 1};
    placed.apply(Rounding::kStochastic);
    for (const float w : stored(placed.now())) CHECK(std::isfinite(w));
    placed.weight.pending = {};
    for (const float w : placed.embed(Rounding::kStochastic)) CHECK(std::isfinite(w));
  }
}

TEST_CASE("storage: stochastic rounding is unbiased") {
  for (const StorageType type : {StorageType::kBF16R8, StorageType::kQ8}) {
    const auto device = make_cpu_device({1, "auto"});
    constexpr int64_t kRows = 512, kColumns = 512;
    Matrix m(type, kRows, kColumns, 0.02f, 14);
    // A decay, and no noise: what every weight is to be on average is known. Both signs are there.
    const float none = 0, decay = 1.7e-4f;
    const Update update{77, decay, &none, 1, true};
    Placed placed(*device, m);
    placed.weight.pending = {&update, 1, 1};
    placed.apply(Rounding::kStochastic);
    const Matrix now = placed.now();
    double sum = 0, outwards = 0, most = 0;  // errors in steps: of the value, of its magnitude
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t c = 0; c < kColumns; ++c) {
        const float w = m.stored(r, c), wanted = w - (decay * w + none);
        const double step = type == StorageType::kQ8 ? double{m.scale(r, c)}
                                                     : std::ldexp(1.0, std::ilogb(wanted) - 15);
        const double error = (double{now.stored(r, c)} - double{wanted}) / step;
        sum += error;
        outwards += wanted < 0 ? -error : error;
        most = std::max(most, std::fabs(error));
      }
    const double n = static_cast<double>(kRows * kColumns);
    CHECK(most <= 1.0);
    CHECK(most > 0.9);
    CHECK(std::fabs(sum) < 5 * 0.5 * std::sqrt(n));  // one error deviates by half a step at most
    CHECK(std::fabs(outwards) < 5 * 0.5 * std::sqrt(n));
  }
}

}  // namespace
}  // namespace zo2::test
