// What access() and work() declare of an op, against what the CPU's kernels do to memory and
// against counting loops.
#include "device/access.h"

#include <cstring>
#include <random>
#include <set>

#include "backends/cpu/cpu_device.h"
#include "check.h"
#include "device/work.h"

namespace zo2::test {
namespace {

constexpr size_t kArena = 1 << 16;
constexpr size_t kGap = 64;  // between views, nobody's

// Hands out views of one buffer of a CPU device.
class Rig {
 public:
  Rig() : device_(make_cpu_device({.threads = 1})) {
    arena_ = device_->alloc("arena", Tier::kDevice, kArena);
  }
  View take(int64_t elements, size_t element_bytes = 4) {
    const View view{arena_.get(), at_, static_cast<size_t>(elements) * element_bytes};
    at_ += (view.bytes + 63) / 64 * 64 + kGap;
    return view;
  }
  View ids(std::vector<int32_t> values) {
    const View view = take(static_cast<int64_t>(values.size()));
    ids_.push_back({view, std::move(values)});
    return view;
  }
  Weight weight(int64_t row, int64_t rows, int64_t columns, StorageType type = StorageType::kF32) {
    Weight w;
    w.data = take(rows * columns, storage_bytes(type));
    w.type = type;
    w.tensor = 3;
    w.row = row;
    w.rows = rows;
    w.columns = columns;
    return w;
  }
  Vector vector(int64_t n) { return {take(n), 7, n, true}; }

  // Runs the op twice on memory that differs wherever the op claims not to read.
  void check(const char* name, const Op& op) {
    const std::vector<Access> list = access(op);
    std::vector<char> reads(kArena), writes(kArena);
    for (const Access& a : list)
      for (size_t i = 0; i < a.view.bytes; ++i) {
        if (a.reads) reads[a.view.offset + i] = 1;
        if (a.writes) writes[a.view.offset + i] = 1;
      }
    std::vector<uint8_t> before[2], after[2];
    scratch_ = device_->alloc("scratch", Tier::kDevice, device_->scratch_bytes(op) + 1);
    device_->set_scratch({scratch_.get(), 0, scratch_->bytes()});
    std::mt19937 random(11);
    for (int run = 0; run < 2; ++run) {
      before[run] = contents(random);
      if (run == 1)
        for (size_t i = 0; i < kArena; ++i)
          if (reads[i]) before[1][i] = before[0][i];
      std::memcpy(arena_->address(), before[run].data(), kArena);
      device_->enqueue(Lane::kCompute, op);
      device_->sync(Lane::kCompute);
      const uint8_t* end = static_cast<const uint8_t*>(arena_->address());
      after[run].assign(end, end + kArena);
    }
    size_t undeclared = 0, unexplained = 0, changed = 0;
    for (size_t i = 0; i < kArena; ++i) {
      const bool kept = after[0][i] == before[0][i] && after[1][i] == before[1][i];
      changed += !kept;
      undeclared += !kept && !writes[i];
      unexplained += !kept && after[0][i] != after[1][i];
    }
    if (undeclared || unexplained || !changed)
      fail(__FILE__, __LINE__,
           std::string(name) + ": " + std::to_string(undeclared) + " bytes written undeclared, " +
               std::to_string(unexplained) + " depend on what is not declared as read, " +
               std::to_string(changed) + " changed");
  }

 private:
  // Small numbers as f32, bf16 or f16 (the bytes of 0.5 to 2 in each), and the ids.
  std::vector<uint8_t> contents(std::mt19937& random) const {
    std::vector<uint8_t> bytes(kArena);
    for (size_t i = 0; i < kArena; i += 4) {
      const float value = 0.5f + static_cast<float>(random() % 1024) / 1024;
      std::memcpy(&bytes[i], &value, 4);
    }
    for (const auto& [view, values] : ids_)
      std::memcpy(&bytes[view.offset], values.data(), view.bytes);
    return bytes;
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<Buffer> arena_, scratch_;
  size_t at_ = kGap;
  std::vector<std::pair<View, std::vector<int32_t>>> ids_;
};

struct Records {
  float coefficients[2] = {0.25f, -0.5f};
  Update updates[2] = {{5, 0.125f, coefficients, 2, true}, {6, 0, coefficients, 1, false}};
  Branch branch[2] = {{0, 0.5f}, {0, -0.5f}};
  Branches branches{9, Distribution::kGaussian, Rounding::kStochastic, branch, 2};
};

TEST_CASE("access: what kernels of weights write and read is declared") {
  const Records records;
  for (const int store_after : {0, 1, 2}) {
    for (const bool accumulate : {false, true}) {
      Rig rig;
      Linear linear;
      linear.weight =
          rig.weight(128, 6, 40, store_after == 1 ? StorageType::kBF16 : StorageType::kF32);
      linear.weight.pending = {records.updates, 2, store_after};
      linear.bias = rig.vector(200);
      linear.x = rig.take(2 * 3 * 40);
      linear.y = rig.take(2 * 3 * 11);
      linear.m = 3;
      linear.y_columns = 11;
      linear.y_column = 4;
      linear.accumulate = accumulate;
      linear.branches = records.branches;
      rig.check("linear", {linear});

      Embed embed;
      embed.table = rig.weight(10, 8, 24);
      embed.table.pending = {records.updates, 2, 0};
      embed.ids = rig.ids({12, 3, 17, 12});
      embed.y = rig.take(2 * 4 * 24);
      embed.tokens = 4;
      embed.accumulate = accumulate;
      embed.branches = records.branches;
      rig.check("embed", {embed});

      Embed rows = embed;  // of a larger table, those that are needed
      rows.table.rows = 1000;
      rows.gathered = rig.ids({12, 17, 500});
      rows.table.data = rig.take(3 * 24);
      rows.ids = rig.ids({500, 12, 17, 500});
      rig.check("embed of gathered rows", {rows});
    }
    Rig rig;
    Apply apply;
    apply.weight = rig.weight(0, 5, 33);
    apply.weight.pending = {records.updates, 2, store_after};
    if (store_after > 0) rig.check("apply", {apply});
    Materialize materialize;
    materialize.weight = rig.weight(7, 5, 33, StorageType::kBF16);
    materialize.y = rig.take(5 * 33);
    rig.check("materialize", {materialize});
  }
}

TEST_CASE("access: what the head writes and reads is declared") {
  const Records records;
  for (const bool last : {false, true}) {
    Rig rig;
    HeadLoss head;
    head.weight = rig.weight(128, last ? 60 : 128, 20);
    head.x = rig.take(2 * 3 * 20);
    head.target_rows = rig.ids({0, 2});
    head.target_ids = rig.ids({130, 5});
    head.vocabulary = last ? 188 : 300;
    head.partials = rig.take(2 * 3 * (last ? 2 : 3) * 2);
    head.target_logits = rig.take(2 * 2);
    head.logprobs = rig.take(2 * 2);
    head.logits = rig.take(2 * 3 * head.vocabulary);
    head.m = 3;
    head.targets = 2;
    head.last = last;
    head.branches = records.branches;
    rig.check("head", {head});
  }
}

TEST_CASE("access: what kernels of activations write and read is declared") {
  const Records records;
  Rig rig;
  Norm norm;
  norm.kind = NormKind::kLayer;
  norm.gain = rig.vector(20);
  norm.bias = rig.vector(20);
  norm.x = rig.take(2 * 6 * 20);
  norm.gather = rig.ids({5, 1});
  norm.y = rig.take(2 * 2 * 20);
  norm.x_rows = 6;
  norm.m = 2;
  norm.columns = 20;
  norm.epsilon = 1e-5f;
  norm.branches = records.branches;
  rig.check("norm", {norm});

  Rope rope;
  rope.x = rig.take(2 * 3 * 2 * 8);
  rope.positions = rig.ids({0, 1, 4});
  rope.cosine = rig.take(5 * 2);
  rope.sine = rig.take(5 * 2);
  rope.tokens = 3;
  rope.branches = 2;
  rope.heads = 2;
  rope.head_columns = 8;
  rope.rotary = 4;
  rig.check("rope", {rope});

  Activation activation;
  activation.kind = ActivationKind::kSilu;
  activation.x = rig.take(37);
  activation.up = rig.take(37);
  activation.y = activation.up;
  activation.n = 37;
  rig.check("activation", {activation});
}

TEST_CASE("access: what attention writes and reads is declared, with and without a cache") {
  for (const bool cached : {false, true}) {
    Rig rig;
    Attention op;
    op.branches = cached ? 1 : 2;
    op.tokens = 5;
    op.sequences = 2;
    op.heads = 4;
    op.kv_heads = 2;
    op.qk_columns = 8;
    op.v_columns = 6;
    op.longest = cached ? 5 : 3;
    op.q = rig.take(op.branches * 5 * 32);
    op.k = rig.take(op.branches * 5 * 16);
    op.v = rig.take(op.branches * 5 * 12);
    op.y = rig.take(op.branches * 5 * 24);
    op.offsets = rig.ids({0, 3, 5});
    if (cached) {
      op.cache.k = rig.take(12 * 16);
      op.cache.v = rig.take(12 * 12);
      op.cache.starts = rig.ids({0, 6});
      op.cache.prefixes = rig.ids({2, 1});
    }
    rig.check("attention", {op});
    op.prefix = {rig.take(op.branches * 3 * 16), rig.take(op.branches * 3 * 12), 3};
    rig.check("attention behind a prefix", {op});
  }
}

TEST_CASE("access: an op that reaches beyond a view is an error") {
  Rig rig;
  Activation op;
  op.x = rig.take(8);
  op.y = rig.take(7);
  op.n = 8;
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"Activation", "32 bytes", "of 28", "arena"}),
               access({op}));
}

TEST_CASE("access: stored bytes are written only where something is stored") {
  const Records records;
  Rig rig;
  Apply op;
  op.weight = rig.weight(0, 4, 4);
  op.weight.pending = {records.updates, 2, 0};
  CHECK_EQ(access({op})[0].writes, false);
  op.weight.pending.store_after = 1;
  CHECK_EQ(access({op})[0].writes, true);
  op.weight.trainable = false;
  CHECK_EQ(access({op})[0].writes, false);
}

TEST_CASE("work: a linear op's, against loops") {
  const Records records;
  Rig rig;
  Linear op;
  op.weight = rig.weight(0, 6, 10, StorageType::kBF16);
  op.weight.pending = {records.updates, 2, 1};
  op.bias = rig.vector(6);
  op.m = 3;
  op.y_columns = 6;
  op.accumulate = true;
  op.branches = records.branches;
  double flops = 0;
  uint64_t normals = 0, uniforms = 0;
  for (int b = 0; b < 2; ++b)
    for (int m = 0; m < 3; ++m)
      for (int row = 0; row < 6; ++row)
        for (int column = 0; column < 10; ++column) flops += 2;
  for (int row = 0; row < 6; ++row)
    for (int column = 0; column < 10; ++column) {
      for (const Update& update : records.updates) {
        normals += static_cast<uint64_t>(update.directions);
        uniforms += update.rounds;
      }
      ++normals;  // both branches share a direction
    }
  normals += 6;  // the bias, which has nothing pending
  const Work total = work({op});
  CHECK_EQ(total.flops, flops);
  CHECK_EQ(total.normals, normals);
  CHECK_EQ(total.signs, uint64_t{0});
  CHECK_EQ(total.uniforms, uniforms);
  // stored rows twice, bias, inputs, outputs twice
  CHECK_EQ(total.bytes, uint64_t{2 * 120 + 24 + 2 * 3 * 10 * 4 + 2 * (2 * 3 * 6 * 4)});
  op.branches.distribution = Distribution::kRademacher;
  CHECK_EQ(work({op}).normals, uint64_t{0});
  CHECK_EQ(work({op}).signs, normals);
  op.weight.trainable = op.bias.trainable = false;
  CHECK_EQ(work({op}).signs, uint64_t{0});
}

TEST_CASE("work: directions that perturb, attention's pairs, looked-up rows") {
  const Branch branch[] = {{0, 0.0f}, {0, 0.5f}, {1, 0.5f}, {1, -0.5f}, {2, 0.0f}};
  Branches branches;
  branches.branch = branch;
  branches.count = 5;
  CHECK_EQ(perturbed_directions(branches), 2);

  Attention attention;
  attention.branches = 2;
  attention.tokens = 12;
  attention.sequences = 3;
  attention.longest = 4;
  attention.heads = 2;
  attention.kv_heads = 1;
  attention.qk_columns = 8;
  attention.v_columns = 6;
  double flops = 0;
  for (int sequence = 0; sequence < 3; ++sequence)
    for (int query = 0; query < 4; ++query)
      for (int key = 0; key <= query; ++key) flops += 2.0 * (8 + 6) * 2 * 2;
  CHECK_EQ(work({attention}).flops, flops);
  attention.prefix.tokens = 5;  // for every query of both branches
  CHECK_EQ(work({attention}).flops, flops + 2 * 12 * 5 * 2.0 * (8 + 6) * 2);

  Rig rig;
  Embed embed;
  embed.table = rig.weight(0, 100, 16);
  embed.tokens = 3;
  embed.branches = branches;
  CHECK_EQ(work({embed}).normals, uint64_t{3 * 16 * 2});
}

}  // namespace
}  // namespace zo2::test
