// What a thread of a block asks of the emulator: the boundary between the device language
// (cuda_emulator.h, instructions.h: compiled into the kernels' files, and there instrumented by
// sanitizers) and block.cc, which runs blocks.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace zo2::emulator {

// ---- of the block ----

void* dynamic_shared();

// Waits for all threads of the block that have not returned: an order between them. Returns whether
// any of them gave a predicate that is not 0. Threads that meet at different lines are divergent.
bool meet_block(int predicate, int line);

// ---- of the warp ----

// What a warp can meet for, and what each lane then offers and finds in its offer afterwards.
enum class Meeting {
  kSync,     // nothing; the only one that is an order between the lanes, as CUDA has it
  kShuffle,  // Shuffle
  kBallot,   // Ballot
  kRows,     // Rows
  kMmaBf16,  // Product
  kMmaF16,   // Product
};
struct Shuffle {
  uint64_t value;
  int source;  // the lane whose value is wanted
};
struct Ballot {
  int predicate;
  unsigned lanes;  // found: those of the mask whose predicate is not 0
};
struct Rows {
  const void* given;
  const void* rows[4];  // found: what lanes i / 4, i / 4 + 8, + 16 and + 24 gave
};
struct Product {
  float d[4];
  uint32_t a[4], b[2];
};

// Waits for the lanes of `mask` (of a last warp that is not full: those that exist).
void meet_warp(Meeting meeting, unsigned mask, void* offer, int line);
int lane();

// ---- copies that this thread has begun and not waited for ----

struct PendingCopy {
  uint4* to;
  uint4 bytes;
};
PendingCopy& begin_copy();
void commit_copies();
// Of the first `count` copies, those of all groups but the last `pending_groups`, the bytes are to
// arrive now; then they are to be dropped.
const PendingCopy* due_copies(int pending_groups, size_t& count);
void drop_copies(size_t count);

// ---- by the host ----

struct Launch {
  const char* name;
  const void* kernel;
  dim3 grid, block;
  size_t shared_bytes;
  std::function<void()> thread;  // what every thread of every block runs
};
// Like <<<>>>: errors are found by cudaGetLastError().
void launch(Launch launch, cudaStream_t stream);

}  // namespace zo2::emulator
