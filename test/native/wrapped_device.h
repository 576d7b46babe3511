// A device that passes everything on to another: what tests watch or spoil one function of.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "device/device.h"

namespace zo2::test {

class WrappedDevice : public Device {
 public:
  explicit WrappedDevice(std::unique_ptr<Device> inner) : inner_(std::move(inner)) {}

  DeviceInfo info() const override { return inner_->info(); }
  std::unique_ptr<Buffer> alloc(std::string name, Tier tier, size_t bytes) override {
    return inner_->alloc(std::move(name), tier, bytes);
  }
  size_t scratch_bytes(const Op& op) const override { return inner_->scratch_bytes(op); }
  void set_scratch(View scratch) override { inner_->set_scratch(scratch); }
  void enqueue(Lane lane, const Op& op) override { inner_->enqueue(lane, op); }
  void copy(Lane lane, View to, View from) override { inner_->copy(lane, to, from); }
  void file(Lane lane, FileTask task) override { inner_->file(lane, std::move(task)); }
  Event record(Lane lane) override { return inner_->record(lane); }
  void wait(Lane lane, Event event) override { inner_->wait(lane, event); }
  void sync(Lane lane) override { inner_->sync(lane); }
  void drain() noexcept override { inner_->drain(); }
  void host_access(View view, bool writes) override { inner_->host_access(view, writes); }

 protected:
  Device& inner() { return *inner_; }

 private:
  std::unique_ptr<Device> inner_;
};

}  // namespace zo2::test
