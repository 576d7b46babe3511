// Scales that train (q8s, docs/storage.md) in the kernels of every instruction set against one
// scale at a time; which weights there are to train; and that nothing but scales is written back.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/cpu_device.h"
#include "check.h"
#include "core/lanes.h"
#include "core/normal.h"
#include "device/op_rig.h"
#include "fault_env.h"
#include "store/encode.h"
#include "tiny_run.h"
#include "wrapped_device.h"

namespace zo2::test {
namespace {

constexpr uint32_t kTensor = 7;
constexpr int64_t kFirstRow = 5;  // of the canonical matrix

// Element (row, group) of the matrix of scales, by design rules 2 and 3.
float z_at(Distribution distribution, uint64_t seed, int64_t row, int64_t group,
           uint32_t direction) {
  const bool gaussian = distribution == Distribution::kGaussian;
  const Words w =
      philox(seed, static_cast<uint32_t>(group / (gaussian ? 4 : 128)), static_cast<uint32_t>(row),
             kTensor, counter_word3(Purpose::kPerturbation, direction));
  if (!gaussian) return (w.x[group % 128 / 32] >> (group % 32) & 1) != 0 ? 1.0f : -1.0f;
  float z[2];
  box_muller<ScalarLanes>(w.x[group % 4 / 2 * 2], w.x[group % 4 / 2 * 2 + 1], &z[0], &z[1]);
  return z[group % 2];
}

// A matrix as stored.
struct Matrix {
  int64_t rows, columns;
  std::vector<int8_t> steps;
  std::vector<float> scales;  // [rows][groups]

  Matrix(int64_t r, int64_t c)
      : rows(r),
        columns(c),
        steps(static_cast<size_t>(r * c)),
        scales(static_cast<size_t>(r * q8_groups(c))) {
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 0.02f);
    std::vector<float> base(steps.size());
    for (float& v : base) v = normal(random);
    encode_rows(StorageType::kQ8Scales, base.data(), rows, columns, steps.data(), scales.data(),
                {"w", "p"});
  }
  float weight(int64_t r, int64_t c) const {
    return static_cast<float>(steps[static_cast<size_t>(r * columns + c)]) *
           scales[static_cast<size_t>(r * q8_groups(columns) + c / kQ8Group)];
  }
  std::vector<float> weights(const std::function<float(float, int64_t, int64_t)>& as) const {
    std::vector<float> w;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) w.push_back(as(weight(r, c), r, c));
    return w;
  }
  void move(const Update& update, Distribution distribution) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t g = 0; g < q8_groups(columns); ++g) {
        float& scale = scales[static_cast<size_t>(r * q8_groups(columns) + g)];
        float s = update.decay * scale;
        for (int k = 0; k < update.directions; ++k)
          s = s + update.coefficients[k] * (scale * z_at(distribution, update.seed, kFirstRow + r,
                                                         g, static_cast<uint32_t>(k)));
        scale = std::fmax(scale - s, 0.0f);
      }
    }
  }
  Weight on(OpRig& rig) const {
    Weight w;
    w.data = rig.put(steps);
    w.aux = rig.put(scales);
    w.type = StorageType::kQ8Scales;
    w.tensor = kTensor;
    w.row = kFirstRow;
    w.rows = rows;
    w.columns = columns;
    return w;
  }
};

std::vector<float> floats_of(OpRig& rig, const View& view) {
  const Bytes bytes = rig.get(view);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

void check_same(const std::string& what, const std::vector<float>& got,
                const std::vector<float>& wanted) {
  CHECK_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i)
    if (got[i] != wanted[i])
      return fail(
          __FILE__, __LINE__,
          what + ": element " + show(i) + " is " + show(got[i]) + ", not " + show(wanted[i]));
}

// Three records, of two directions and one, and branches of two directions.
struct Records {
  float coefficients[2] = {0.05f, -0.3f};
  Update updates[3] = {{1000, 1e-2f, coefficients, 1, true},
                       {1001, 0, coefficients, 2, true},
                       {1002, 1e-3f, coefficients + 1, 1, true}};
  Branch branch[4] = {{0, 0.1f}, {0, -0.1f}, {1, 0.02f}, {2, 0}};
  Branches branches(Distribution distribution) const {
    return {77, distribution, Rounding::kStochastic, branch, 4};
  }
};

// As every branch sees them: [branch][row][column].
std::vector<float> seen(const Matrix& m, const Branches& branches) {
  std::vector<float> all;
  for (int b = 0; b < branches.count; ++b) {
    const Branch& branch = branches.branch[b];
    const std::vector<float> one = m.weights([&](float w, int64_t r, int64_t c) {
      return w + branch.scale * (w * z_at(branches.distribution, branches.seed, kFirstRow + r,
                                          c / kQ8Group, static_cast<uint32_t>(branch.direction)));
    });
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

// Every row of every branch, by a gather.
std::vector<float> embed(OpRig& rig, const Weight& weight, const Branches& branches) {
  std::vector<int32_t> ids;
  for (int64_t r = 0; r < weight.rows; ++r) ids.push_back(static_cast<int32_t>(kFirstRow + r));
  Embed op;
  op.table = weight;
  op.ids = rig.put(ids);
  op.y = Floats(rig.room(static_cast<size_t>(branches.count * weight.rows * weight.columns) * 4));
  op.tokens = weight.rows;
  op.branches = branches;
  rig.run({op});
  return floats_of(rig, op.y);
}

// The same by a product with the identity, some rows of it at a time.
std::vector<float> multiply(OpRig& rig, const Weight& weight, const Branches& branches,
                            int64_t together) {
  const int64_t columns = weight.columns, rows = weight.rows;
  std::vector<float> all(static_cast<size_t>(branches.count * rows * columns));
  for (int64_t first = 0; first < columns; first += together) {
    const int64_t m = std::min(together, columns - first);
    std::vector<float> x(static_cast<size_t>(branches.count * m * columns));
    for (int64_t i = 0; i < branches.count * m; ++i)
      x[static_cast<size_t>(i * columns + first + i % m)] = 1;
    Linear op;
    op.weight = weight;
    op.x = Floats(rig.put(x));
    op.y = Floats(rig.room(static_cast<size_t>(branches.count * m * rows) * 4));
    op.m = m;
    op.y_columns = rows;
    op.branches = branches;
    rig.run({op});
    const std::vector<float> y = floats_of(rig, op.y);
    for (int64_t i = 0; i < branches.count * m; ++i)
      for (int64_t r = 0; r < rows; ++r)
        all[static_cast<size_t>((i / m * rows + r) * columns + first + i % m)] =
            y[static_cast<size_t>(i * rows + r)];
  }
  return all;
}

std::vector<float> materialize(OpRig& rig, const Weight& weight, Distribution distribution) {
  Materialize op;
  op.weight = weight;
  op.y = rig.room(static_cast<size_t>(weight.rows * weight.columns) * 4);
  op.distribution = distribution;
  rig.run({op});
  return floats_of(rig, op.y);
}

void check_everything(Device& device, const Matrix& m, Distribution distribution,
                      const std::string& where) {
  const Records records;
  const Branches branches = records.branches(distribution);
  const auto as_is = [](float w, int64_t, int64_t) { return w; };
  Matrix now = m;
  for (int count = 0; count <= 3; ++count) {
    if (count > 0) now.move(records.updates[count - 1], distribution);
    OpRig rig(device);
    Weight weight = m.on(rig);
    weight.pending = {records.updates, count, 0};
    check_same(where + ", materialized", materialize(rig, weight, distribution),
               now.weights(as_is));
    check_same(where + ", gathered", embed(rig, weight, branches), seen(now, branches));
    check_same(where + ", multiplied", multiply(rig, weight, branches, m.columns),
               seen(now, branches));
    check_same(where + ", left alone", floats_of(rig, weight.aux), m.scales);
    if (count == 0) {
      check_same(where + ", by few", multiply(rig, weight, unperturbed(), 3), m.weights(as_is));
      continue;
    }
    weight.pending.store_after = count;
    check_same(where + ", multiplied and stored", multiply(rig, weight, branches, m.columns),
               seen(now, branches));
    check_same(where + ", stored", floats_of(rig, weight.aux), now.scales);
    CHECK(rig.get(weight.data) == bytes_of(m.steps));
    Apply apply;
    apply.weight = m.on(rig);
    apply.weight.pending = weight.pending;
    apply.distribution = distribution;
    rig.run({apply});
    CHECK(rig.get(apply.weight.aux) == rig.get(weight.aux));
    CHECK(rig.get(apply.weight.data) == bytes_of(m.steps));
  }
}

TEST_CASE("scales: strips of every instruction set are what single scales are") {
  const int64_t shapes[][2] = {{3, 5}, {37, 203}, {16, 128}, {65, 300}};
  for (const std::string& isa : cpu_isas())
    for (const int threads : {1, 3})
      for (const auto& [rows, columns] : shapes)
        for (const Distribution distribution : {Distribution::kGaussian, Distribution::kRademacher})
          check_everything(*make_cpu_device({threads, isa}), Matrix(rows, columns), distribution,
                           isa + ", " + show(rows) + " x " + show(columns));
}

TEST_CASE("scales: rows of more groups than a counter of signs has bits") {
  for (const std::string& isa : cpu_isas()) {
    const auto device = make_cpu_device({2, isa});
    const Records records;
    for (const int64_t rows : {2, 19}) {
      const Matrix m(rows, 4200);
      Matrix now = m;
      OpRig rig(*device);
      Weight weight = m.on(rig);
      weight.pending = {records.updates, 1, 0};
      now.move(records.updates[0], Distribution::kRademacher);
      const Branches branches = records.branches(Distribution::kRademacher);
      check_same(isa, embed(rig, weight, branches), seen(now, branches));
    }
  }
}

TEST_CASE("scales: none is ever negative, and one that is zero stays so") {
  const float much = 2;
  const Update update{5, 0, &much, 1, true};
  for (const std::string& isa : cpu_isas()) {
    const auto device = make_cpu_device({2, isa});
    Matrix m(40, 200);
    for (int time = 0; time < 2; ++time) {
      OpRig rig(*device);
      Apply op;
      op.weight = m.on(rig);
      op.weight.pending = {&update, 1, 1};
      rig.run({op});
      m.move(update, Distribution::kGaussian);
      check_same(isa, floats_of(rig, op.weight.aux), m.scales);
    }
    size_t zeros = 0;
    for (const float scale : m.scales) {
      CHECK(scale >= 0);
      zeros += scale == 0;
    }
    CHECK(zeros > m.scales.size() / 4 && zeros < m.scales.size() / 2);
  }
}

TEST_CASE("scales: a run begins from what q8 is") {
  const Matrix m(9, 70);
  std::vector<float> base(m.steps.size());
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 0.02f);
  for (float& v : base) v = normal(random);
  std::vector<int8_t> steps(m.steps.size());
  std::vector<uint16_t> scales(m.scales.size());
  encode_rows(StorageType::kQ8, base.data(), 9, 70, steps.data(), scales.data(), {"w", "p"});
  CHECK(steps == m.steps);
  for (size_t i = 0; i < scales.size(); ++i) CHECK_EQ(bf16_to_f32(scales[i]), m.scales[i]);
}

// ---- runs
// ------------------------------------------------------------------------------------------

constexpr const char* kModel = "/base/model";

TinyRun qzo() {
  TinyRun run;
  run.steps = 6;
  run.storage = StorageType::kQ8Scales;
  run.checkpoint_every = 0;
  run.method.name = "qzo";
  run.method.epsilon = 1e-2;
  run.method.clip = 100;
  return run;
}

TEST_CASE("scales: qzo trains these, and others train others") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  TinyRun run = qzo();
  run.storage = StorageType::kQ8;
  const TinyOutcome q8 = train_tiny(env, kModel, "/runs/q8", run);
  CHECK_EQ(q8.code, ErrorCode::kInvalidConfig);
  CHECK(q8.error.find("\"qzo\", but weights are stored as q8;") != std::string::npos);
  run = qzo();
  run.method.name = "mezo";
  CHECK(train_tiny(env, kModel, "/runs/mezo", run).error.find("whose scales only qzo trains") !=
        std::string::npos);
  run = qzo();
  run.trainable = {"", {"model.norm"}};
  CHECK(train_tiny(env, kModel, "/runs/none", run).error.find("trainable: means no matrix") !=
        std::string::npos);
  run = qzo();
  run.lora = LoraOptions{{3, 5.0, {"", {"q_proj"}}}, 11, ""};
  CHECK(train_tiny(env, kModel, "/runs/lora", run).error.find("adapters have no scales") !=
        std::string::npos);
}

TEST_CASE("scales: all matrices train, and 1-D parameters are the base's") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  const auto session = load_tiny(env, kModel, qzo());
  const TinyOutcome tuned = train_tiny(env, kModel, "/runs/one", qzo());
  CHECK_EQ(tuned.error, std::string());
  for (size_t i = 0; i < tuned.weights.size(); ++i) {
    const bool same = tuned.weights[i] == session->tensor(static_cast<TensorId>(i));
    CHECK_EQ(same, !session->model().tensors[i].is_matrix());
  }
  TinyRun part = qzo();
  part.trainable = {"", {"v_proj", "layers.0.input_layernorm"}};
  const TinyOutcome some = train_tiny(env, kModel, "/runs/some", part);
  for (size_t i = 0; i < some.weights.size(); ++i) {
    const bool same = some.weights[i] == session->tensor(static_cast<TensorId>(i));
    CHECK_EQ(same, session->model().tensors[i].name.find("v_proj") == std::string::npos);
  }
}

// What goes down to host memory.
class Watched final : public WrappedDevice {
 public:
  Watched(std::unique_ptr<Device> inner, uint64_t& bytes)
      : WrappedDevice(std::move(inner)), bytes_(bytes) {}
  void copy(Lane lane, View to, View from) override {
    if (lane == Lane::kOffload) bytes_ += from.bytes;
    WrappedDevice::copy(lane, to, from);
  }

 private:
  uint64_t& bytes_;
};

TEST_CASE("scales: of an extent in host memory nothing else is written back") {
  FaultEnv env(1);
  TinyModel shape;
  shape.hidden = 512;
  shape.intermediate = 1024;
  write_tiny_model(env, kModel, 1, shape);
  TinyRun run = qzo();
  run.schedule.offload = Offload::kHost;
  run.schedule.slots = 3;
  uint64_t bytes = 0;
  run.wrap = [&](std::unique_ptr<Device> device) {
    return std::make_unique<Watched>(std::move(device), bytes);
  };
  const auto session = load_tiny(env, kModel, run);
  const double weights = static_cast<double>(session->model().parameters());
  CHECK_EQ(train_tiny(env, kModel, "/runs/host", run).error, std::string());
  // Four bytes for 32 weights, at each step but the first; extents are padded to 4 KiB.
  const double each = static_cast<double>(bytes) / static_cast<double>(run.steps - 1) / weights;
  CHECK(each > 0.1 && each < 0.25);
}

}  // namespace
}  // namespace zo2::test
