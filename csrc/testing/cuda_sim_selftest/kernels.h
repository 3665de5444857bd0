// Small kernels with known faults and costs, which test cuda_sim itself.
#pragma once

#include <cstdint>

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
int wrong_launch(int threads, int64_t shared_bytes);

}  // namespace fnet::selftest
