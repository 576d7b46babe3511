// What a trial is drawn from: ZO2_TEST_SEED and ZO2_TEST_TRIALS repeat trials or ask for more.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace zo2::test {

inline uint64_t from_environment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : fallback;
}

// Printed, so that a failure can be repeated.
inline uint64_t test_seed() {
  const uint64_t seed = from_environment("ZO2_TEST_SEED", std::random_device{}());
  std::printf("# ZO2_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace zo2::test
