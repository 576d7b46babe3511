// The CUDA runtime API: devices, kernels and errors.
#include <array>

#include "device_thread.h"
#include "properties.h"
#include "runtime.h"

namespace zo2::emulator {
namespace {

// The device that the calling thread chose.
thread_local int current_device = 0;

bool exists(const Runtime& runtime, int device) {
  return device >= 0 && device < runtime.control.options().devices;
}

cudaError_t check_launch(Runtime& runtime, const Launch& launch) {
  const Options options = runtime.control.options();
  const dim3 grid = launch.grid;
  const dim3 block = launch.block;
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 ||
      grid.z > 65535 || threads == 0 || threads > kMaxThreads || block.z > 64) {
    return cudaErrorInvalidConfiguration;
  }
  if (launch.shared_bytes > runtime.shared_limits.of(launch.kernel)) return cudaErrorInvalidValue;
  // Kernels are compiled for 8.0 and up.
  if (options.compute_major < 8) return cudaErrorNoKernelImageForDevice;
  return cudaSuccess;
}

struct ErrorName {
  cudaError_t error;
  const char* name;
  const char* text;
};

constexpr std::array kErrors{
    ErrorName{cudaSuccess, "cudaSuccess", "no error"},
    ErrorName{cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    ErrorName{cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    ErrorName{cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    ErrorName{cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
              "invalid configuration argument"},
    ErrorName{cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
              "CUDA driver version is insufficient for CUDA runtime version"},
    ErrorName{cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable",
              "CUDA-capable device(s) is/are busy or unavailable"},
    ErrorName{cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    ErrorName{cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    ErrorName{cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
              "no kernel image is available for execution on the device"},
    ErrorName{cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable",
              "uncorrectable ECC error encountered"},
    ErrorName{cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle",
              "invalid resource handle"},
    ErrorName{cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    ErrorName{cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
              "an illegal memory access was encountered"},
    ErrorName{cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
              "too many resources requested for launch"},
    ErrorName{cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout",
              "the launch timed out and was terminated"},
    ErrorName{cudaErrorAssert, "cudaErrorAssert", "device-side assert triggered"},
    ErrorName{cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
              "part or all of the requested memory range is already mapped"},
    ErrorName{cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
              "pointer does not correspond to a registered memory region"},
    ErrorName{cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    ErrorName{cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    ErrorName{cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    ErrorName{cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

ErrorName describe(cudaError_t error) {
  for (const ErrorName& known : kErrors) {
    if (known.error == error) return known;
  }
  return {error, "unrecognized error code", "unrecognized error code"};
}

}  // namespace

void launch(Launch launch, cudaStream_t stream) {
  call([&](Runtime& runtime) {
    const cudaError_t error = check_launch(runtime, launch);
    if (error != cudaSuccess) return error;
    runtime.control.count([](Counters& counters) { ++counters.launches; });
    return runtime.streams.push(
        stream, [launch = std::move(launch)](GridRunner& grids) { grids.run(launch); });
  });
}

}  // namespace zo2::emulator

using zo2::emulator::call;
using zo2::emulator::Runtime;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return call([&](Runtime& runtime) {
    *count = runtime.control.options().devices;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call([&](Runtime& runtime) {
    if (!zo2::emulator::exists(runtime, device)) return cudaErrorInvalidDevice;
    zo2::emulator::current_device = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call([&](Runtime&) {
    *device = zo2::emulator::current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call([&](Runtime& runtime) {
    if (!zo2::emulator::exists(runtime, device)) return cudaErrorInvalidDevice;
    *properties = zo2::emulator::properties(runtime.control.options());
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call([&](Runtime& runtime) {
    if (!zo2::emulator::exists(runtime, device)) return cudaErrorInvalidDevice;
    return zo2::emulator::attribute(runtime.control.options(), attribute, *value)
               ? cudaSuccess
               : cudaErrorInvalidValue;
  });
}

// The two versions can be had without a device, and are not counted.
cudaError_t cudaDriverGetVersion(int* version) {
  *version = Runtime::get().control.options().driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return call([&](Runtime& runtime) {
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<size_t>(value) >
            zo2::emulator::shared_bytes_at_most(runtime.control.options())) {
      return cudaErrorInvalidValue;
    }
    runtime.shared_limits.set(kernel, static_cast<size_t>(value));
    return cudaSuccess;
  });
}

const char* cudaGetErrorName(cudaError_t error) { return zo2::emulator::describe(error).name; }

const char* cudaGetErrorString(cudaError_t error) { return zo2::emulator::describe(error).text; }

}  // extern "C"
