#include "zo/measure.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>

#include "store/disk_store.h"

namespace zo2 {
namespace {

View whole(const std::unique_ptr<Buffer>& buffer) { return {buffer.get(), 0, buffer->bytes()}; }

std::unique_ptr<Buffer> floats(Device& device, const char* name, int64_t count) {
  return device.alloc(name, Tier::kDevice, static_cast<size_t>(count) * sizeof(float));
}

void fill(const std::unique_ptr<Buffer>& buffer, float scale) {
  float* p = static_cast<float*>(buffer->address());
  uint32_t state = 1;
  for (size_t i = 0; i < buffer->bytes() / sizeof(float); ++i) {
    state = state * 1664525u + 1013904223u;
    p[i] = (static_cast<float>(state >> 8) * 0x1p-24f - 0.5f) * scale;
  }
}

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// Ops with all that they need, to be run again and again.
class Timed {
 public:
  Timed(Device& device, std::vector<Op> ops) : device_(device), ops_(std::move(ops)) {
    size_t bytes = 0;
    for (const Op& op : ops_) bytes = std::max(bytes, device.scratch_bytes(op));
    scratch_ = device.alloc("scratch", Tier::kDevice, bytes);
    device.set_scratch(whole(scratch_));
    seconds();
  }

  double seconds() {
    const auto began = std::chrono::steady_clock::now();
    for (const Op& op : ops_) device_.enqueue(Lane::kCompute, op);
    device_.sync(Lane::kCompute);
    return seconds_since(began);
  }
  std::vector<double> seconds(int repeats) {
    std::vector<double> each;
    for (int i = 0; i < repeats; ++i) each.push_back(seconds());
    return each;
  }

 private:
  Device& device_;
  std::vector<Op> ops_;
  std::unique_ptr<Buffer> scratch_;
};

// The operands of a LinearCase.
class LinearOp {
 public:
  LinearOp(Device& device, const LinearCase& of)
      : weight_(floats(device, "weight", of.in * of.out)),
        x_(floats(device, "x", 2 * of.tokens * of.in)),
        y_(floats(device, "y", 2 * of.tokens * of.out)) {
    fill(weight_, 0.04f);
    fill(x_, 1.0f);
    op_.weight.data = whole(weight_);
    op_.weight.rows = of.out;
    op_.weight.columns = of.in;
    op_.weight.trainable = of.trainable;
    if (of.trainable) op_.weight.pending = {&update_, 1, 1};
    op_.x = whole(x_);
    op_.y = whole(y_);
    op_.m = of.tokens;
    op_.y_columns = of.out;
    op_.branches.seed = 2;
    op_.branches.distribution = of.distribution;
    op_.branches.branch = branches_;
    op_.branches.count = 2;
  }
  LinearOp(const LinearOp&) = delete;

  const Linear& op() const { return op_; }

 private:
  std::unique_ptr<Buffer> weight_, x_, y_;
  const float coefficient_ = 1e-9f;
  const Update update_{1, 0, &coefficient_, 1, false};
  const Branch branches_[2] = {{0, 1e-3f}, {0, -1e-3f}};
  Linear op_;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

constexpr int kRounds = 5;  // where the machine's other tenants show
constexpr size_t kExtentBytes = size_t{16} << 20;

// Of extents [first, end); what was written is on the disk when that returns.
using Transfer = std::function<void(uint32_t first, uint32_t end)>;

DiskCosts costs_of(Device& device, const Transfer& write, const Transfer& read, uint32_t all) {
  const uint32_t half = all / 2;
  const LinearOp of(device, {1024, 2048, 128});
  Timed computing(device, {Op{of.op()}});
  write(0, all);  // blocks that were never written are slower
  DiskCosts costs;
  auto began = std::chrono::steady_clock::now();
  write(0, all);
  costs.write = seconds_since(began);
  began = std::chrono::steady_clock::now();
  read(0, all);
  costs.read = seconds_since(began);
  std::vector<double> both, lost;
  for (int round = 0; round < kRounds; ++round) {
    const double alone = median(computing.seconds(2 * kRounds + 1));
    began = std::chrono::steady_clock::now();
    // Each half of the extents twice.
    const auto twice = [half](const Transfer& transfer, uint32_t first) {
      return std::async(std::launch::async, [&transfer, first, half] {
        for (int i = 0; i < 2; ++i) transfer(first, first + half);
      });
    };
    auto reading = twice(read, 0), writing = twice(write, half);
    const auto under_way = [](const std::future<void>& transfer) {
      return transfer.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
    };
    double done = 0;
    for (; under_way(reading) || under_way(writing); done += alone) computing.seconds();
    both.push_back(seconds_since(began));
    lost.push_back(std::max(0.0, both.back() - done));
    reading.get();
    writing.get();
  }
  costs.both = median(both);
  costs.lost = median(lost);
  return costs;
}

}  // namespace

std::vector<double> measure_linear(Device& device, const LinearCase& linear, int repeats) {
  const LinearOp of(device, linear);
  return Timed(device, {Op{of.op()}}).seconds(repeats);
}

std::vector<double> measure_copy(Device& device, int64_t count, int repeats) {
  const auto from = floats(device, "from", count), to = floats(device, "to", count);
  fill(from, 1.0f);
  std::vector<double> seconds;
  for (int i = 0; i <= repeats; ++i) {
    const auto began = std::chrono::steady_clock::now();
    device.copy(Lane::kCompute, whole(to), whole(from));
    device.sync(Lane::kCompute);
    if (i > 0) seconds.push_back(seconds_since(began));
  }
  return seconds;
}

DiskCosts measure_disk(Device& device, Env& env, const std::string& directory, size_t bytes) {
  const std::vector<size_t> extents(bytes / kExtentBytes, kExtentBytes);
  const std::vector<uint64_t> digests = {0};
  const auto store = DiskStore::open(env, {directory, extents, 0, digests});
  // Whatever ends this process now, nothing large is left.
  for (const std::string& name : env.list(directory)) env.remove(directory + "/" + name);
  const auto memory = device.alloc("extents", Tier::kStaging, 2 * kExtentBytes);
  uint8_t *out = whole(memory).as<uint8_t>(), *in = out + kExtentBytes;
  uint64_t step = 0;
  const auto write = [&](uint32_t first, uint32_t end) {
    ++step;
    for (uint32_t i = first; i < end; ++i) store->write(i, step, 0, out);
    store->sync();
  };
  const auto read = [&](uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; ++i) store->read(i, in);
  };
  return costs_of(device, write, read, static_cast<uint32_t>(extents.size()));
}

DiskCosts measure_file(Device& device, Env& env, const std::string& path, size_t bytes) {
  const auto file = env.open_direct(path, FileAccess::kWrite);
  file->allocate(bytes);
  const auto memory = device.alloc("extents", Tier::kStaging, 2 * kExtentBytes);
  uint8_t *out = whole(memory).as<uint8_t>(), *in = out + kExtentBytes;
  const auto write = [&](uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; ++i) file->write(i * kExtentBytes, out, kExtentBytes);
    file->sync();
  };
  const auto read = [&](uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; ++i) file->read(i * kExtentBytes, in, kExtentBytes);
  };
  return costs_of(device, write, read, static_cast<uint32_t>(bytes / kExtentBytes));
}

std::vector<double> measure_noise(Device& device, Distribution distribution, int64_t count,
                                  int repeats) {
  // Zero weights with one pending record of coefficient -1: what is written is the noise itself.
  // The zeros are few and stay in the cache, so that filling memory is all that memory sees.
  constexpr int64_t kColumns = 4096, kRows = 128;
  const int64_t rows = (count + kColumns - 1) / kColumns;
  const auto zeros = floats(device, "weights", kRows * kColumns);
  const auto noise = floats(device, "noise", rows * kColumns);
  const float coefficient = -1.0f;
  const Update update{1, 0, &coefficient, 1, false};
  std::vector<Op> ops;
  for (int64_t row = 0; row < rows; row += kRows) {
    const auto bytes = [](int64_t n) { return static_cast<size_t>(n * kColumns) * sizeof(float); };
    Materialize op;
    op.weight.row = row;
    op.weight.rows = std::min(kRows, rows - row);
    op.weight.columns = kColumns;
    op.weight.data = whole(zeros).slice(0, bytes(op.weight.rows));
    op.weight.pending = {&update, 1, 0};
    op.y = whole(noise).slice(bytes(row), bytes(op.weight.rows));
    op.distribution = distribution;
    ops.push_back({op});
  }
  return Timed(device, std::move(ops)).seconds(repeats);
}

}  // namespace zo2
