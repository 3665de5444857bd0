// Small kernels with known faults and costs, which test cuda_sim itself.
#pragma once

#include <cstdint>

#include "cuda/launch_config.h"

namespace fnet::selftest {

// Each returns the status of launch().
int copy(const float* x, float* y, int n, int stride, int width);  // y[i] = x[stride i]
int skewed_copy(const float* x, float* y, int n);  // lanes leave the loop at different iterations
int exchange(const float* x, float* y, int pitch, bool swizzle);  // transposes 32 x 32
int block_sum(const float* x, float* y, int blocks, int missing_barrier);
int warp_sum(const float* x, float* y, int blocks, bool missing_sync);
int wide_reads(float* y, int width, int step);
int shuffles(const int32_t* x, int32_t* y, double* z);
int line_fft(const float* x, float* y, int lines);  // 4096 complex points per line, 512 threads

// These are faulty on purpose.
int divergent_barrier(float* y, int how);  // 0: early exit; 1: two barriers; 2: within a warp
int warp_barrier_for_block(float* y);
int out_of_range(const float* x, float* y, int n, int what);
int uninitialised(float* y);
int overlapping_blocks(float* y, bool read_only);
int misaligned(const float* x, float* y);
int constant_reads(float* y, int how);  // 0, 1: before, after the write; 2: streaming; 3: no write
int wrong_launch(dim3 grid, int threads, int64_t shared_bytes);

// Accesses of y[0], in this order, of which the last is a race. kSyncedWarp has none.
enum class Race {
  kReadsThenWrite,     // by the lanes of a warp, then by another warp
  kLaneAmongReaders,   // by the lanes of a warp, then by one of them
  kSyncedWarp,         // the same with sync_warp between
  kReadersOfTwoWarps,  // the second warp then syncs and writes
  kTwoWrites,          // by two warps
  kWideThenNarrow,     // writes of 16 bytes, then of the last 2 of them
  kNarrowThenWide,
};
int race(float* y, Race kind);
int blocks_read(float* y);               // each of 3 blocks reads y[0], then block 0 writes it
int blocks_write(float* y, int blocks);  // each block writes its number to y[0]

// Access, before it awaits the previous kernel, of what an earlier one reads or writes.
enum class Early {
  kNone,
  kReadOfRead,
  kReadOfWritten,
  kWriteOfWritten,
  kWriteOfRead,
  kChangeOfRead,      // a read and a write
  kConstantRead,      // of written data, after the wait, which the compiler may move
  kLaneWithoutAwait,  // no access; one lane ends without awaiting
};
// Three kernels. The second only awaits the first, if it overlaps it, and the third overlaps.
int early_access(float* y, Early what, bool second_overlaps);
int overlap_nothing(float* y);  // the first launch

}  // namespace fnet::selftest
