// What the lanes of a warp exchange once all have arrived.
#pragma once

#include "device_thread.h"

namespace zo2::emulator {

const char* meeting_name(Meeting meeting);
// Offers are those of the lanes of `mask`; the others are leftovers.
void hold_meeting(Meeting meeting, unsigned mask, void* const (&offers)[32]);

}  // namespace zo2::emulator
