// The CUDA runtime API: streams and events.
#include <chrono>

#include "runtime.h"

using zo2::emulator::call;
using zo2::emulator::call_release;
using zo2::emulator::GridRunner;
using zo2::emulator::Mark;
using zo2::emulator::Ref;
using zo2::emulator::Runtime;
using zo2::emulator::Stream;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&](Runtime& runtime) {
    if (!stream || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = runtime.streams.create(flags != cudaStreamNonBlocking);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call_release([&](Runtime& runtime) { return runtime.streams.destroy(stream); });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call([&](Runtime& runtime) {
    const Ref<Stream> stream = runtime.streams.find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    runtime.control.count_synchronisation();
    stream->mark()->wait();
    return runtime.control.failure();
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call([&](Runtime& runtime) {
    const Ref<Stream> stream = runtime.streams.find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    return stream->query() ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  return call([&](Runtime& runtime) {
    const Ref<Stream> stream = runtime.streams.find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    Ref<Mark> record;
    bool timed = false;
    const cudaError_t error = runtime.streams.last_record(event, record, timed);
    if (error == cudaSuccess && record) stream->push_wait(record);
    return error;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  return call([&](Runtime& runtime) {
    if (!function) return cudaErrorInvalidValue;
    return runtime.streams.push(stream, [=](GridRunner&) { function(argument); });
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call([&](Runtime& runtime) {
    runtime.control.count_synchronisation();
    runtime.streams.finish();
    return runtime.control.failure();
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call([&](Runtime& runtime) {
    if (!event) return cudaErrorInvalidValue;
    *event = runtime.streams.create_event((flags & cudaEventDisableTiming) == 0);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call_release([&](Runtime& runtime) { return runtime.streams.destroy_event(event); });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([&](Runtime& runtime) { return runtime.streams.record(event, stream); });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&](Runtime& runtime) {
    Ref<Mark> record;
    bool timed = false;
    const cudaError_t error = runtime.streams.last_record(event, record, timed);
    if (error != cudaSuccess) return error;
    runtime.control.count_synchronisation();
    if (record) record->wait();
    return runtime.control.failure();
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([&](Runtime& runtime) {
    Ref<Mark> record;
    bool timed = false;
    const cudaError_t error = runtime.streams.last_record(event, record, timed);
    if (error != cudaSuccess || !record) return error;
    if (!record->is_reached()) return cudaErrorNotReady;
    record->acquire();
    return cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return call([&](Runtime& runtime) {
    Ref<Mark> first, last;
    bool first_timed = false, last_timed = false;
    cudaError_t error = runtime.streams.last_record(begin, first, first_timed);
    if (error == cudaSuccess) error = runtime.streams.last_record(end, last, last_timed);
    if (error != cudaSuccess) return error;
    if (!first || !last || !first_timed || !last_timed) return cudaErrorInvalidResourceHandle;
    if (!first->is_reached() || !last->is_reached()) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(last->time() - first->time()).count();
    return cudaSuccess;
  });
}

}  // extern "C"
