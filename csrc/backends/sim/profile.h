// Machines as figures. What the simulator knows of a device is here, each figure with where it was
// read; rates are sustained ones where such are known.
#pragma once

#include <string>
#include <vector>

namespace zo2 {

struct Figure {
  double value = 0;
  std::string source;
};

// Giga is 10^9 throughout.
struct Profile {
  std::string name;
  bool unified = false;  // DeviceInfo::unified; perturbed weights stay in the cache

  Figure tflops;       // matrix products of 16-bit inputs, sums in fp32
  Figure memory_gbps;  // device memory, reads and writes together
  Figure gnormals;     // 10^9 Gaussian draws a second, made and used
  Figure launch_us;    // of a kernel, when the one before it has just ended
  Figure memory_gb;    // device memory; alloc() refuses more

  Figure upload_gbps;       // host -> device alone
  Figure offload_gbps;      // device -> host alone
  Figure link_duplex_gbps;  // sum of both while both are under way
  Figure transfer_us;       // of a copy before its first byte

  Figure disk_read_gbps;
  Figure disk_write_gbps;
  Figure disk_total_gbps;  // sum of both while both are under way
  // Bytes from and to files for which I/O threads take a second of compute; 0: they take none.
  Figure disk_compute_gbps;
  Figure disk_us;         // of a file task before its first byte
  Figure host_copy_gbps;  // copying within host memory, bytes that arrive
};

// a100-pcie, h100-pcie, rtx-4090, rtx-3060
const std::vector<Profile>& device_profiles();
// Throws Error(kInvalidConfig) that lists the names.
const Profile& find_profile(const std::string& name);

// What lib/measure-cpu.ts measures of a machine whose device is its CPU.
struct CpuFigures {
  double gflops = 0;       // sgemm
  double memory_gbps = 0;  // reads and writes together
  double gnormals = 0;     // 10^9 draws a second, all cores
  double disk_read_gbps = 0;
  double disk_write_gbps = 0;
  double disk_total_gbps = 0;    // 0: the larger of both
  double disk_compute_gbps = 0;  // Profile::disk_compute_gbps
  double memory_gb = 0;          // 0: no limit
};
Profile cpu_profile(const CpuFigures& measured);

// Throws Error(kInvalidConfig) naming a rate that is not above zero.
void check_profile(const Profile& profile);

}  // namespace zo2
