#include "properties.h"

#include <cstdio>

namespace zo2::emulator {

// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
size_t shared_bytes_at_most(const Options& options) {
  const auto kib = [](size_t n) { return n << 10; };
  switch (options.compute_major) {
    case 7: return options.compute_minor == 5 ? kib(64) : kib(96);
    case 8: return options.compute_minor == 0 || options.compute_minor == 7 ? kib(163) : kib(99);
    case 9:
    case 10: return kib(227);
    case 12: return kib(99);
    default: return kSharedBytes;
  }
}

cudaDeviceProp properties(const Options& options) {
  cudaDeviceProp of{};
  std::snprintf(of.name, sizeof of.name, "zo2 emulator %d.%d", options.compute_major,
                options.compute_minor);
  of.totalGlobalMem = options.device_bytes;
  of.sharedMemPerBlock = kSharedBytes;
  of.sharedMemPerBlockOptin = shared_bytes_at_most(options);
  of.sharedMemPerMultiprocessor = of.sharedMemPerBlockOptin + 1024;
  of.reservedSharedMemPerBlock = 1024;
  of.regsPerBlock = of.regsPerMultiprocessor = 65536;
  of.warpSize = 32;
  of.maxThreadsPerBlock = kMaxThreads;
  of.maxThreadsPerMultiProcessor = 1536;
  of.maxThreadsDim[0] = of.maxThreadsDim[1] = 1024;
  of.maxThreadsDim[2] = 64;
  of.maxGridSize[0] = 0x7FFFFFFF;
  of.maxGridSize[1] = of.maxGridSize[2] = 65535;
  of.totalConstMem = 65536;
  of.major = options.compute_major;
  of.minor = options.compute_minor;
  of.multiProcessorCount = kMultiprocessors;
  of.canMapHostMemory = of.unifiedAddressing = of.concurrentKernels = 1;
  of.hostRegisterSupported = of.canUseHostPointerForRegisteredMem = 1;
  of.asyncEngineCount = 2;
  of.l2CacheSize = 4 << 20;
  of.memoryBusWidth = 128;
  return of;
}

bool attribute(const Options& options, cudaDeviceAttr attribute, int& value) {
  const cudaDeviceProp of = properties(options);
  const auto is = [&](size_t v) {
    value = static_cast<int>(v);
    return true;
  };
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: return is(kMaxThreads);
    case cudaDevAttrMaxGridDimX: return is(static_cast<size_t>(of.maxGridSize[0]));
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: return is(static_cast<size_t>(of.maxGridSize[1]));
    case cudaDevAttrWarpSize: return is(32);
    case cudaDevAttrMultiProcessorCount: return is(kMultiprocessors);
    case cudaDevAttrMaxThreadsPerMultiProcessor: return is(1536);
    case cudaDevAttrComputeCapabilityMajor: return is(static_cast<size_t>(of.major));
    case cudaDevAttrComputeCapabilityMinor: return is(static_cast<size_t>(of.minor));
    case cudaDevAttrMaxSharedMemoryPerBlock: return is(of.sharedMemPerBlock);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return is(of.sharedMemPerBlockOptin);
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return is(of.sharedMemPerMultiprocessor);
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: return is(65536);
    case cudaDevAttrL2CacheSize: return is(static_cast<size_t>(of.l2CacheSize));
    case cudaDevAttrAsyncEngineCount: return is(2);
    case cudaDevAttrClockRate: return is(1000000);
    case cudaDevAttrMemoryClockRate: return is(1000000);
    case cudaDevAttrGlobalMemoryBusWidth: return is(128);
    case cudaDevAttrGpuOverlap:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrHostRegisterReadOnlySupported:
    case cudaDevAttrCanUseHostPointerForRegisteredMem: return is(1);
    case cudaDevAttrIntegrated:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrComputeMode:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrPciBusId:
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId: return is(0);
    default: return false;
  }
}

}  // namespace zo2::emulator
