// The pieces of device memory and of pinned host memory that exist.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>

#include "control.h"
#include "hidden_sync.h"

namespace zo2::emulator {

enum class Place { kPageable, kPinned, kDevice };

class Memory {
 public:
  explicit Memory(Control& control) : control_(control) {}

  cudaError_t allocate_device(void** memory, size_t bytes);
  cudaError_t free_device(void* memory);
  cudaError_t allocate_host(void** memory, size_t bytes);
  cudaError_t free_host(void* memory);
  cudaError_t pin(void* memory, size_t bytes);
  cudaError_t unpin(void* memory);

  // Where all of these bytes lie; pageable if not in one piece.
  Place place_of(const void* memory, size_t bytes) const;

 private:
  struct Piece {
    size_t bytes;
    Place place;
    bool registered;  // memory of the program
  };
  using Pieces = std::map<uintptr_t, Piece>;

  void insert(void* memory, Piece piece);
  // Removes the piece that begins there, if it is of this kind.
  cudaError_t remove(void* memory, Place place, bool registered, size_t& bytes,
                     cudaError_t missing);
  bool overlaps(uintptr_t begin, size_t bytes) const;

  Control& control_;
  mutable SpinLock lock_;
  Pieces pieces_;
};

}  // namespace zo2::emulator
