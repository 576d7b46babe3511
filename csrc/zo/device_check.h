// Whether a device computes as another does: a self-test of seconds, on any machine.
#pragma once

#include <string>
#include <vector>

#include "device/device.h"

namespace zo2 {

struct DeviceCheck {
  std::string name;
  std::string problem;  // empty: none
};

// Noise, updates and rounding of every storage type bit for bit, and products of perturbed weights
// within what 16-bit inputs explain. Throws what the devices do.
std::vector<DeviceCheck> check_device(Device& device, Device& reference);

}  // namespace zo2
