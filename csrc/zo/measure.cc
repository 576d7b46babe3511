#include "zo/measure.h"

#include <algorithm>
#include <chrono>
#include <future>

#include "core/aligned_bytes.h"

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

std::vector<double> time_op(Device& device, const Op& op, int repeats) {
  const auto scratch = device.alloc("scratch", Tier::kDevice, device.scratch_bytes(op));
  device.set_scratch(whole(scratch));
  std::vector<double> seconds;
  for (int i = 0; i <= repeats; ++i) {
    const auto began = std::chrono::steady_clock::now();
    device.enqueue(Lane::kCompute, op);
    device.sync(Lane::kCompute);
    if (i > 0) seconds.push_back(seconds_since(began));
  }
  return seconds;
}

}  // namespace

std::vector<double> measure_linear(Device& device, const LinearCase& linear, int repeats) {
  const auto weight = floats(device, "weight", linear.in * linear.out);
  const auto x = floats(device, "x", 2 * linear.tokens * linear.in);
  const auto y = floats(device, "y", 2 * linear.tokens * linear.out);
  fill(weight, 0.04f);
  fill(x, 1.0f);
  const float coefficient = 1e-9f;
  const Update update{1, 0, &coefficient, 1, false};
  const Branch branches[] = {{0, 1e-3f}, {0, -1e-3f}};
  Linear op;
  op.weight.data = whole(weight);
  op.weight.rows = linear.out;
  op.weight.columns = linear.in;
  op.weight.trainable = linear.trainable;
  if (linear.trainable) op.weight.pending = {&update, 1, 1};
  op.x = whole(x);
  op.y = whole(y);
  op.m = linear.tokens;
  op.y_columns = linear.out;
  op.branches.seed = 2;
  op.branches.distribution = linear.distribution;
  op.branches.branch = branches;
  op.branches.count = 2;
  return time_op(device, {op}, repeats);
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

DiskSeconds measure_disk(Env& env, const std::string& path, size_t bytes) {
  constexpr size_t kTransferBytes = size_t{16} << 20;
  const AlignedBytes memory = aligned_bytes(2 * kTransferBytes);
  uint8_t *out = memory.get(), *in = memory.get() + kTransferBytes;
  std::fill(out, out + kTransferBytes, uint8_t{1});
  const auto file = env.open_direct(path, FileAccess::kWrite);
  const auto remove = [&] { env.remove(path); };
  try {
    file->allocate(2 * bytes);
    const auto write = [&](size_t at) {
      for (size_t i = 0; i < bytes; i += kTransferBytes) file->write(at + i, out, kTransferBytes);
      file->sync();
    };
    const auto read = [&](size_t at) {
      for (size_t i = 0; i < bytes; i += kTransferBytes) file->read(at + i, in, kTransferBytes);
    };
    write(bytes);  // blocks that were never written are slower
    DiskSeconds seconds;
    auto began = std::chrono::steady_clock::now();
    write(0);
    seconds.write = seconds_since(began);
    began = std::chrono::steady_clock::now();
    read(0);
    seconds.read = seconds_since(began);
    began = std::chrono::steady_clock::now();
    auto reading = std::async(std::launch::async, [&] { read(0); });
    write(bytes);
    reading.get();
    seconds.both = seconds_since(began);
    remove();
    return seconds;
  } catch (...) {
    remove();
    throw;
  }
}

std::vector<double> measure_noise(Device& device, Distribution distribution, int64_t count,
                                  int repeats) {
  // Zero weights with one pending record of coefficient -1: what is written is the noise itself.
  constexpr int64_t kColumns = 4096;
  const int64_t rows = (count + kColumns - 1) / kColumns;
  const auto zeros = floats(device, "weights", rows * kColumns);
  const auto noise = floats(device, "noise", rows * kColumns);
  const float coefficient = -1.0f;
  const Update update{1, 0, &coefficient, 1, false};
  Materialize op;
  op.weight.data = whole(zeros);
  op.weight.rows = rows;
  op.weight.columns = kColumns;
  op.weight.pending = {&update, 1, 0};
  op.y = whole(noise);
  op.distribution = distribution;
  return time_op(device, {op}, repeats);
}

}  // namespace zo2
