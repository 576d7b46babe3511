#include "memory.h"

#include "guarded_memory.h"

namespace zo2::emulator {

cudaError_t Memory::allocate_device(void** memory, size_t bytes) {
  if (!memory) return cudaErrorInvalidValue;
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (!control_.take_device_bytes(bytes)) return cudaErrorMemoryAllocation;
  *memory = allocate_guarded(bytes);
  if (!*memory) {
    control_.count([=](Counters& counters) { counters.device_bytes -= bytes; });
    return cudaErrorMemoryAllocation;
  }
  insert(*memory, {bytes, Place::kDevice, false});
  return cudaSuccess;
}

cudaError_t Memory::free_device(void* memory) {
  if (!memory) return cudaSuccess;
  size_t bytes = 0;
  const cudaError_t error = remove(memory, Place::kDevice, false, bytes, cudaErrorInvalidValue);
  if (error != cudaSuccess) return error;
  control_.count([=](Counters& counters) { counters.device_bytes -= bytes; });
  free_guarded(memory, bytes);
  return cudaSuccess;
}

cudaError_t Memory::allocate_host(void** memory, size_t bytes) {
  if (!memory) return cudaErrorInvalidValue;
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  *memory = allocate_guarded(bytes);
  if (!*memory) return cudaErrorMemoryAllocation;
  insert(*memory, {bytes, Place::kPinned, false});
  control_.count([=](Counters& counters) { counters.pinned_bytes += bytes; });
  return cudaSuccess;
}

cudaError_t Memory::free_host(void* memory) {
  if (!memory) return cudaSuccess;
  size_t bytes = 0;
  const cudaError_t error = remove(memory, Place::kPinned, false, bytes, cudaErrorInvalidValue);
  if (error != cudaSuccess) return error;
  control_.count([=](Counters& counters) { counters.pinned_bytes -= bytes; });
  free_guarded(memory, bytes);
  return cudaSuccess;
}

cudaError_t Memory::pin(void* memory, size_t bytes) {
  if (!memory || bytes == 0) return cudaErrorInvalidValue;
  const size_t limit = control_.options().pinned_bytes, pinned = control_.counters().pinned_bytes;
  if (bytes > limit || pinned > limit - bytes) return cudaErrorMemoryAllocation;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
  {
    Locked locked(lock_);
    if (overlaps(begin, bytes)) return cudaErrorHostMemoryAlreadyRegistered;
    pieces_[begin] = {bytes, Place::kPinned, true};
  }
  control_.count([=](Counters& counters) { counters.pinned_bytes += bytes; });
  return cudaSuccess;
}

cudaError_t Memory::unpin(void* memory) {
  size_t bytes = 0;
  const cudaError_t error =
      remove(memory, Place::kPinned, true, bytes, cudaErrorHostMemoryNotRegistered);
  if (error != cudaSuccess) return error;
  control_.count([=](Counters& counters) { counters.pinned_bytes -= bytes; });
  return cudaSuccess;
}

Place Memory::place_of(const void* memory, size_t bytes) const {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
  Locked locked(lock_);
  Pieces::const_iterator after = pieces_.upper_bound(begin);
  if (after == pieces_.begin()) return Place::kPageable;
  const auto& [address, piece] = *--after;
  return begin + bytes <= address + piece.bytes ? piece.place : Place::kPageable;
}

void Memory::insert(void* memory, Piece piece) {
  Locked locked(lock_);
  pieces_[reinterpret_cast<uintptr_t>(memory)] = piece;
}

cudaError_t Memory::remove(void* memory, Place place, bool registered, size_t& bytes,
                           cudaError_t missing) {
  Locked locked(lock_);
  const Pieces::iterator found = pieces_.find(reinterpret_cast<uintptr_t>(memory));
  if (found == pieces_.end() || found->second.place != place ||
      found->second.registered != registered) {
    return missing;
  }
  bytes = found->second.bytes;
  pieces_.erase(found);
  return cudaSuccess;
}

bool Memory::overlaps(uintptr_t begin, size_t bytes) const {
  const Pieces::const_iterator after = pieces_.lower_bound(begin + bytes);
  if (after == pieces_.begin()) return false;
  const auto& [address, piece] = *std::prev(after);
  return address + piece.bytes > begin;
}

}  // namespace zo2::emulator
