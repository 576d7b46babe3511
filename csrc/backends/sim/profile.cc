#include "backends/sim/profile.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace zo2 {
namespace {

// No CUDA backend has been measured yet. Noise is estimated from the source: a normal costs about
// 56 instructions (per four: 40 of Philox; per two: 86 of natural_log, cos_sin_turns and an exact
// sqrt, with separate multiplications and additions; the present source has about nine less of
// these), and an SM issues 128 lanes a cycle.
constexpr const char* kNoise =
    "estimate: 56 instructions a normal, counted in core/philox.h and core/normal.h, at 60 % of "
    "the issue rate (SMs x 128 lanes x boost clock of the vendor's datasheet: ";
constexpr const char* kLaunch =
    "measured: 2650 cuLaunchKernel calls in 5.5 ms on the host of an RTX 4090 (nsys, "
    "github.com/paiml/aprender issue 2697)";
constexpr const char* kTransfer =
    "measured: 5-7 us for each cudaMemcpyAsync (DualPath, arXiv 2602.21548, section 5.2)";
constexpr const char* kDisk =
    "estimate: one flash read and a few system calls; large requests hide the rest";
constexpr const char* kDiskTotal =
    "estimate: both directions share flash and controller, so together no more than reads alone";
constexpr const char* kHostCopy = "estimate: one thread copying between two places of DRAM";

Figure server_disk_read() {
  return {6.8, "vendor datasheet: Samsung PM9A3 U.2, sequential reads of 128 KiB"};
}
Figure server_disk_write() {
  return {4.0, "vendor datasheet: Samsung PM9A3 U.2, sequential writes of 128 KiB, sustained"};
}
Figure desktop_disk_read() {
  return {7.0, "vendor datasheet: Samsung 980 PRO 1 TB, sequential reads; peak"};
}
Figure desktop_disk_write() {
  return {2.0,
          "vendor datasheet: Samsung 980 PRO 1 TB, writes once its cache is full (5.0 before)"};
}

// What all GPU profiles have in common.
Profile gpu(std::string name) {
  Profile p;
  p.name = std::move(name);
  p.launch_us = {2.1, kLaunch};
  p.transfer_us = {6, kTransfer};
  p.disk_us = {100, kDisk};
  p.host_copy_gbps = {10, kHostCopy};
  return p;
}

Profile a100_pcie() {
  Profile p = gpu("a100-pcie");
  p.tflops = {215,
              "measured, sustained: fp16 8192^3 matmul on an A800 80GB PCIe (the same chip; "
              "mli/transformers-benchmarks issue 4); best shape 253 (bf16, stas00/ml-engineering), "
              "datasheet 312"};
  p.memory_gbps = {1727,
                   "measured on an A800 80GB PCIe (mli/transformers-benchmarks issue 4); "
                   "datasheet 1935"};
  p.gnormals = {209, std::string(kNoise) + "108 x 1.41 GHz)"};
  p.memory_gb = {80, "vendor datasheet"};
  p.upload_gbps = {25,
                   "measured peak of PCIe 4.0 x16 (BaM, ZaidQureshi/bam issue 54; nvbandwidth "
                   "24.8 on an A100 80GB, forums.developer.nvidia.com 352186); ZO2 assumes it too"};
  p.offload_gbps = {25, "measured: about 25 (nvbandwidth on an A100 80GB, same thread)"};
  p.link_duplex_gbps = {
      35,
      "measured: 24 down and 11 up at once (nvbandwidth on an A100-SXM4 80GB over "
      "PCIe 4.0, same thread); hosts differ, a perfect link would do 50"};
  p.disk_read_gbps = server_disk_read();
  p.disk_write_gbps = server_disk_write();
  p.disk_total_gbps = {6.8, kDiskTotal};
  return p;
}

Profile h100_pcie() {
  Profile p = gpu("h100-pcie");
  p.tflops = {
      490,
      "measured, sustained: bf16 matmuls of 8192 and 10240 on an H800 PCIe (the same chip), "
      "499 and 487 (zzc0721/torch-performance-test-data issue 112); datasheet 756"};
  p.memory_gbps = {1800, "estimate: 90 % of the datasheet's 2000, as on other cards with HBM"};
  p.gnormals = {274, std::string(kNoise) + "114 x 1.755 GHz)"};
  p.memory_gb = {80, "vendor datasheet"};
  p.upload_gbps = {56.3,
                   "measured on another card with a PCIe 5.0 x16 link: nvbandwidth on an RTX 5090, "
                   "Xeon 8458P (tinygrad/open-gpu-kernel-modules issue 29)"};
  p.offload_gbps = {57.3, "measured, as upload"};
  p.link_duplex_gbps = {101.8,
                        "measured, as upload: 50.9 up while copying down; estimate: as much down"};
  p.disk_read_gbps = server_disk_read();
  p.disk_write_gbps = server_disk_write();
  p.disk_total_gbps = {6.8, kDiskTotal};
  return p;
}

Profile rtx_4090() {
  Profile p = gpu("rtx-4090");
  p.tflops = {158.6,
              "measured, sustained: fp16 8192^3 matmul (mli/transformers-benchmarks issue 4); "
              "datasheet 165 with fp32 sums"};
  p.memory_gbps = {921,
                   "measured: 918-924 within a card (p2pBandwidthLatencyTest, "
                   "tinygrad/open-gpu-kernel-modules issue 6; clpeak issue 106); datasheet 1008"};
  p.gnormals = {442, std::string(kNoise) + "128 x 2.52 GHz)"};
  p.memory_gb = {24, "vendor datasheet"};
  p.upload_gbps = {26,
                   "measured: 23.9-26.4 (nvbandwidth on eight cards, NVIDIA/nvbandwidth issue 15)"};
  p.offload_gbps = {26.8, "measured: 26.3-27.1 (same)"};
  p.link_duplex_gbps = {41.4,
                        "measured: both ways at once between two cards "
                        "(tinygrad/open-gpu-kernel-modules issue 6); on the eight-card host of the "
                        "figure above uploads fell to 11-16 beside offloads"};
  p.disk_read_gbps = desktop_disk_read();
  p.disk_write_gbps = desktop_disk_write();
  p.disk_total_gbps = {7.0, kDiskTotal};
  return p;
}

Profile rtx_3060() {
  Profile p = gpu("rtx-3060");
  p.tflops = {25.4,
              "measured, sustained: bf16 matmuls of 8192 and 10240 "
              "(zzc0721/torch-performance-test-data issue 131)"};
  p.memory_gbps = {328,
                   "estimate: the datasheet's 360 times what an RTX 4090 reaches of its own, 91 %"};
  p.gnormals = {68, std::string(kNoise) + "28 x 1.777 GHz)"};
  p.memory_gb = {12, "vendor datasheet"};
  p.upload_gbps = {25, "estimate: PCIe 4.0 x16, as the other cards with that link"};
  p.offload_gbps = {26, "estimate: as upload"};
  p.link_duplex_gbps = {41.4, "estimate: as the RTX 4090, which has the same link"};
  p.disk_read_gbps = desktop_disk_read();
  p.disk_write_gbps = desktop_disk_write();
  p.disk_total_gbps = {7.0, kDiskTotal};
  return p;
}

}  // namespace

const std::vector<Profile>& device_profiles() {
  static const std::vector<Profile> kProfiles = {a100_pcie(), h100_pcie(), rtx_4090(), rtx_3060()};
  return kProfiles;
}

const Profile& find_profile(const std::string& name) {
  std::string names;
  for (const Profile& profile : device_profiles()) {
    if (profile.name == name) return profile;
    names += (names.empty() ? "" : ", ") + profile.name;
  }
  throw Error(ErrorCode::kInvalidConfig,
              "no device profile is called \"" + name + "\"; there are " + names);
}

Profile cpu_profile(const CpuFigures& measured) {
  const std::string here = "measured on this machine (lib/measure-cpu.ts)";
  const double total = measured.disk_total_gbps > 0
                           ? measured.disk_total_gbps
                           : std::max(measured.disk_read_gbps, measured.disk_write_gbps);
  const std::string copy = "derived: a copied byte is read and written";
  Profile p;
  p.name = "cpu";
  p.unified = true;
  p.tflops = {measured.gflops / 1000, here};
  p.memory_gbps = {measured.memory_gbps, here};
  p.gnormals = {measured.gnormals, here};
  p.launch_us = {5, "estimate: waking a thread pool"};
  p.memory_gb = {measured.memory_gb, here};
  p.upload_gbps = p.offload_gbps = p.link_duplex_gbps = p.host_copy_gbps =
      Figure{measured.memory_gbps / 2, copy};
  p.transfer_us = {1, "estimate: a call"};
  p.disk_read_gbps = {measured.disk_read_gbps, here};
  p.disk_write_gbps = {measured.disk_write_gbps, here};
  p.disk_total_gbps = {total, measured.disk_total_gbps > 0 ? here : kDiskTotal};
  p.disk_compute_gbps = {measured.disk_compute_gbps, here};
  p.disk_us = {100, kDisk};
  return p;
}

void check_profile(const Profile& p) {
  const std::pair<const char*, const Figure*> rates[] = {
      {"tflops", &p.tflops},
      {"memory_gbps", &p.memory_gbps},
      {"gnormals", &p.gnormals},
      {"upload_gbps", &p.upload_gbps},
      {"offload_gbps", &p.offload_gbps},
      {"link_duplex_gbps", &p.link_duplex_gbps},
      {"disk_read_gbps", &p.disk_read_gbps},
      {"disk_write_gbps", &p.disk_write_gbps},
      {"disk_total_gbps", &p.disk_total_gbps},
      {"host_copy_gbps", &p.host_copy_gbps},
  };
  for (const auto& [field, figure] : rates)
    if (!(figure->value > 0))
      throw Error(ErrorCode::kInvalidConfig, "device profile " + p.name + ": " + field +
                                                 " must be above zero, got " +
                                                 std::to_string(figure->value));
}

}  // namespace zo2
