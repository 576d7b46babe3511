// Times of single ops on a device, for benchmarks and plans: what they cost on the machine at
// hand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/env.h"
#include "device/device.h"
#include "device/ops.h"

namespace zo2 {

// One Linear of a training step: two branches of `tokens` rows, [out, in] weights in f32 with one
// pending record, updated, written back and perturbed on the way; or, not trainable, as they are.
struct LinearCase {
  int64_t in = 0;
  int64_t out = 0;
  int64_t tokens = 0;  // of each branch
  bool trainable = true;
  Distribution distribution = Distribution::kGaussian;
};

// Seconds of each repetition, after one that is not counted.
std::vector<double> measure_linear(Device& device, const LinearCase& linear, int repeats);
// Seconds to fill `count` floats with noise, on all threads of the device.
std::vector<double> measure_noise(Device& device, Distribution distribution, int64_t count,
                                  int repeats);

// Seconds to copy `count` floats within the device's memory.
std::vector<double> measure_copy(Device& device, int64_t count, int repeats);

// What a new disk store (DiskStore, in a directory that is made) of `bytes` bytes, a multiple of
// 32 MiB, costs. The caller removes it.
struct DiskCosts {
  double write = 0, read = 0;  // seconds, alone
  // Of writing and reading `bytes` each at once, while the device computes: seconds, and how many
  // of them the device has lost.
  double both = 0, lost = 0;
};
DiskCosts measure_disk(Device& device, Env& env, const std::string& directory, size_t bytes);
// The same of a plain file that is made: what disk and system take, with nothing of the store's.
DiskCosts measure_file(Device& device, Env& env, const std::string& path, size_t bytes);

}  // namespace zo2
