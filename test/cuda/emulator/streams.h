// The streams and events that exist, and the rules of the default stream.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <vector>

#include "control.h"
#include "hidden_sync.h"
#include "stream.h"

namespace zo2::emulator {

class Streams {
 public:
  explicit Streams(Control& control) : control_(control) {}

  cudaStream_t create(bool blocking);
  cudaError_t destroy(cudaStream_t handle);
  // Empty where there is none. The default stream (0) begins when it is first asked for.
  Ref<Stream> find(cudaStream_t handle);
  cudaError_t push(cudaStream_t handle, Stream::Work work);
  // Until no stream has work; not an order.
  void drain();
  // The same, and an order.
  void finish();
  // So that the next one begins with the options of then.
  void drop_default();

  cudaEvent_t create_event(bool timed);
  cudaError_t destroy_event(cudaEvent_t handle);
  cudaError_t record(cudaEvent_t handle, cudaStream_t stream);
  // The event's last record, which may be empty.
  cudaError_t last_record(cudaEvent_t handle, Ref<Mark>& record, bool& timed);

 private:
  struct Event {
    bool timed;
    Ref<Mark> record;
  };

  Ref<Stream> start(bool blocking);
  std::vector<Ref<Stream>> all();
  std::vector<Ref<Mark>> mark_all();
  void apply_default_rules(const Ref<Stream>& stream);

  Control& control_;
  SpinLock lock_;
  uint32_t started_ = 0;
  Ref<Stream> default_;
  std::map<cudaStream_t, Ref<Stream>> streams_;
  std::map<cudaEvent_t, Ref<Event>> events_;
};

}  // namespace zo2::emulator
