#include "cuda/device.h"
#include "fft/complex.h"
#include "testing/cuda_sim_selftest/kernels.h"

namespace fnet::selftest {

namespace {

template <int Width>
FNET_KERNEL void copy_kernel(const float* x, float* y, int n, int stride) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x) * Width;
  if (i >= n) return;
  if constexpr (Width == 1)
    store_global(y + i, load_global<Cache::kReadOnly>(x + i * stride));
  else
    store_global<Cache::kStreaming>(y + i, load_global<Width, Cache::kStreaming>(x + i * stride));
}

FNET_KERNEL void skewed_copy_kernel(const float* x, float* y, int n) {
  for (int i = int(threadIdx.x); i < n; i += int(blockDim.x))
    store_global(y + i, load_global(x + i));
}

// Reads rows and writes columns. With a pitch of 32 all lanes of a column share a bank.
FNET_KERNEL void exchange_kernel(const float* x, float* y, int pitch, bool swizzle) {
  const auto tile = shared_memory<float>();
  const int lane = int(threadIdx.x);
  for (int r = 0; r < 32; ++r)
    tile.store(r * pitch + (swizzle ? lane ^ r : lane), load_global(x + r * 32 + lane));
  sync_warp();
  for (int r = 0; r < 32; ++r)
    store_global(y + r * 32 + lane, tile.load(lane * pitch + (swizzle ? r ^ lane : r)));
}

// A tree sum in shared memory, without the barrier before step `missing`.
FNET_KERNEL void block_sum_kernel(const float* x, float* y, int missing) {
  const auto sums = shared_memory<float>();
  const int t = int(threadIdx.x), threads = int(blockDim.x);
  sums.store(t, load_global(x + int64_t(blockIdx.x) * threads + t));
  int step = 0;
  for (int half = threads / 2; half > 0; half /= 2, ++step) {
    if (step != missing) sync_threads();
    if (t < half) sums.store(t, sums.load(t) + sums.load(t + half));
  }
  if (t == 0) store_global(y + blockIdx.x, sums.load(0));
}

// Neighbours exchange values through shared memory, then through a butterfly of shuffles.
FNET_KERNEL void warp_sum_kernel(const float* x, float* y, bool missing_sync) {
  const auto line = shared_memory<float>() + int(threadIdx.x / kWarp * kWarp);
  const int lane = int(threadIdx.x % kWarp), i = int(blockIdx.x * blockDim.x + threadIdx.x);
  line.store(lane, load_global(x + i));
  if (!missing_sync) sync_warp();
  float sum = line.load(lane ^ 1);
  for (int mask = kWarp / 2; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  store_global(y + i, sum);
}

// Warp 1 reads values of warp 0 after only a barrier of the warp.
FNET_KERNEL void warp_barrier_for_block_kernel(float* y) {
  const auto line = shared_memory<float>();
  const int t = int(threadIdx.x);
  line.store(t, float(t));
  sync_warp();
  store_global(y + t, line.load(t ^ kWarp));
}

// Each lane reads Width bytes; the lanes are `step` vectors apart.
template <int Width>
FNET_KERNEL void wide_reads_kernel(float* y, int step) {
  constexpr int kFloats = Width / 4;
  const auto line = shared_memory<float>();
  const int t = int(threadIdx.x);
  for (int i = t; i < 32 * 8 * kFloats; i += kWarp) line.store(i, float(i));
  sync_warp();
  const Vec<float, kFloats> v = line.template load<kFloats>(kFloats * step * t);
  store_global(y + t, v[0]);
}

FNET_KERNEL void shuffles_kernel(const int32_t* x, int32_t* y, double* z) {
  const int t = int(threadIdx.x), threads = int(blockDim.x);
  const int32_t v = load_global(x + t);
  store_global(y + t, shuffle(v, 5));
  store_global(y + threads + t, shuffle(v, (t * 7) % kWarp));
  store_global(y + 2 * threads + t, shuffle_xor(v, 3));
  store_global(y + 3 * threads + t, shuffle_down(v, 4));
  store_global(z + t, shuffle_xor(v * 0.5, 31));
}

// The memory accesses of a three-step FFT of 4096 points, 8 per thread, without butterflies, to
// time the simulator.
FNET_KERNEL_BOUNDS(512, 1)
void line_fft_kernel(const float* x, float* y) {
  constexpr int kThreads = 512, kPoints = 8;
  const auto line = shared_memory<Complex<float>>();
  const int t = int(threadIdx.x);
  const int64_t first = int64_t(blockIdx.x) * kThreads * kPoints;
  Complex<float> z[kPoints];
  static_for<kPoints>([&](auto p) {
    const Vec<float, 2> v = load_global<2>(x + 2 * (first + t + kThreads * p));
    z[p] = {v[0], v[1]};
  });
  static_for<2>([&](auto step) {
    if constexpr (step > 0) sync_threads();
    static_for<kPoints>([&](auto p) { line.store(t + kThreads * p, z[p]); });
    sync_threads();
    static_for<kPoints>([&](auto p) { z[p] = line.load(t + kThreads * p); });
  });
  static_for<kPoints>([&](auto p) {
    store_global(y + 2 * (first + t + kThreads * p), Vec<float, 2>{{z[p].re, z[p].im}});
  });
}

FNET_KERNEL void divergent_barrier_kernel(float* y, int how) {
  const int t = int(threadIdx.x);
  if (how == 0 && t >= 96) return;
  if (how == 2 && t % kWarp == 7) return;
  if (how == 2) sync_warp();
  if (how == 1 && t == 40)
    sync_threads();
  else
    sync_threads();
  store_global(y + t, 1.0f);
}

FNET_KERNEL void out_of_range_kernel(const float* x, float* y, int n, int what) {
  const auto line = shared_memory<float>();
  const int t = int(threadIdx.x);
  line.store(t + (what == 0), 0.0f);
  const float v = load_global(x + (what == 1 ? t + n - 31 : t));
  const int past = what == 4 && t == 0 ? 100000 : 0;
  store_global(what == 2 ? y - 1 + t : y + past + t, v);
  if (what == 3) store_global(const_cast<float*>(x) + t, v);
}

FNET_KERNEL void uninitialised_kernel(float* y) {
  store_global(y + threadIdx.x, shared_memory<float>().load(int(threadIdx.x)));
}

// Each block also accesses the first element of the next block.
FNET_KERNEL void overlapping_blocks_kernel(float* y, bool read_only) {
  const int first = int(blockIdx.x * blockDim.x), t = int(threadIdx.x);
  if (!read_only) store_global(y + first + t, 1.0f);
  if (t == 0 && blockIdx.x + 1 < gridDim.x) load_global(y + first + blockDim.x);
}

FNET_KERNEL void misaligned_kernel(const float* x, float* y) {
  store_global(y + 4 * threadIdx.x, load_global<4>(x + 1 + 4 * threadIdx.x));
}

// Reads data through the read-only cache, which the launch may also write.
FNET_KERNEL void constant_reads_kernel(float* y, int how) {
  float* mine = y + threadIdx.x;
  if (how == 0) {
    load_global<Cache::kReadOnly>(mine);
    store_global(mine, 1.0f);
  } else if (how < 3) {
    store_global(mine, 1.0f);
    how == 1 ? load_global<Cache::kReadOnly>(mine) : load_global<Cache::kStreaming>(mine);
  } else {
    store_global(mine, load_global<Cache::kReadOnly>(mine + 32));
  }
}

// A shuffle orders the accesses before it and after it in the simulator's time, but not in memory.
FNET_KERNEL void race_kernel(float* y, Race kind) {
  const int t = thread_index();
  const auto wide = [&] { store_global(y, Vec<float, 4>{}); };
  const auto narrow = [&] { store_global(reinterpret_cast<uint16_t*>(y) + 7, 0); };
  switch (kind) {
    case Race::kReadsThenWrite:
      if (t < kWarp) load_global(y);
      shuffle(0, 0);
      if (t == kWarp) store_global(y, 1.0f);
      break;
    case Race::kLaneAmongReaders:
      if (t < kWarp) load_global(y);
      shuffle(0, 0);
      if (t == 0) store_global(y, 1.0f);
      break;
    case Race::kSyncedWarp:
      if (t < kWarp) load_global(y);
      sync_warp();
      if (t == 0) store_global(y, 1.0f);
      break;
    case Race::kReadersOfTwoWarps:
      if (t == 0) load_global(y);
      shuffle(0, 0);
      if (t == kWarp) load_global(y);
      sync_warp();
      if (t == kWarp) store_global(y, 1.0f);
      break;
    case Race::kTwoWrites:
      if (t == 0) store_global(y, 1.0f);
      shuffle(0, 0);
      if (t == kWarp) store_global(y, 1.0f);
      break;
    case Race::kWideThenNarrow:
      if (t == 0) wide();
      shuffle(0, 0);
      if (t == kWarp) narrow();
      break;
    case Race::kNarrowThenWide:
      if (t == 0) narrow();
      shuffle(0, 0);
      if (t == kWarp) wide();
      break;
  }
}

FNET_KERNEL void blocks_read_kernel(float* y) {
  if (thread_index() == 0) load_global(y);
  sync_threads();
  if (block_index() == 0 && thread_index() == 0) store_global(y, 1.0f);
}

FNET_KERNEL void blocks_write_kernel(float* y) {
  if (thread_index() == 0) store_global(y, float(block_index()));
}

// Reads the second half of y and writes the first.
FNET_KERNEL void early_producer_kernel(float* y) {
  store_global(y + thread_index(), load_global(y + kWarp + thread_index()));
}

FNET_KERNEL void early_awaiting_kernel() { await_previous_kernel(); }

FNET_KERNEL void early_consumer_kernel(float* y, Early what) {
  float* written = y + thread_index();
  float* read = y + kWarp + thread_index();
  switch (what) {
    case Early::kReadOfRead: load_global(read); break;
    case Early::kReadOfWritten: load_global(written); break;
    case Early::kWriteOfWritten: store_global(written, 1.0f); break;
    case Early::kWriteOfRead: store_global(read, 1.0f); break;
    case Early::kChangeOfRead: store_global(read, load_global(read) + 1.0f); break;
    case Early::kLaneWithoutAwait:
      if (thread_index() == 7) return;
      break;
    default: break;
  }
  await_previous_kernel();
  if (what == Early::kConstantRead) {
    load_global<Cache::kReadOnly>(written);
    return;
  }
  store_global(written, load_global(read));
  store_global(read, 1.0f);
}

}  // namespace

int copy(const float* x, float* y, int n, int stride, int width) {
  const LaunchConfig config = {.name = "copy", .grid = dim3(n / width / 128), .block = 128};
  switch (width) {
    case 1: return launch<copy_kernel<1>>(config, x, y, n, stride);
    case 2: return launch<copy_kernel<2>>(config, x, y, n, stride);
    case 4: return launch<copy_kernel<4>>(config, x, y, n, stride);
    default: return -1;
  }
}

int skewed_copy(const float* x, float* y, int n) {
  return launch<skewed_copy_kernel>({.name = "skewed_copy", .block = 64}, x, y, n);
}

int exchange(const float* x, float* y, int pitch, bool swizzle) {
  return launch<exchange_kernel>(
      {.name = "exchange", .block = 32, .shared_bytes = 32 * pitch * sizeof(float)}, x, y, pitch,
      swizzle);
}

int block_sum(const float* x, float* y, int blocks, int missing_barrier) {
  return launch<block_sum_kernel>({.name = "block_sum",
                                   .grid = dim3(blocks),
                                   .block = 256,
                                   .shared_bytes = 256 * sizeof(float)},
                                  x, y, missing_barrier);
}

int warp_sum(const float* x, float* y, int blocks, bool missing_sync) {
  return launch<warp_sum_kernel>(
      {.name = "warp_sum", .grid = dim3(blocks), .block = 64, .shared_bytes = 64 * sizeof(float)},
      x, y, missing_sync);
}

int warp_barrier_for_block(float* y) {
  return launch<warp_barrier_for_block_kernel>(
      {.name = "warp_barrier_for_block", .block = 64, .shared_bytes = 64 * sizeof(float)}, y);
}

int wide_reads(float* y, int width, int step) {
  const LaunchConfig config = {
      .name = "wide_reads", .block = 32, .shared_bytes = size_t(32 * 8 * width)};
  switch (width) {
    case 4: return launch<wide_reads_kernel<4>>(config, y, step);
    case 8: return launch<wide_reads_kernel<8>>(config, y, step);
    case 16: return launch<wide_reads_kernel<16>>(config, y, step);
    default: return -1;
  }
}

int shuffles(const int32_t* x, int32_t* y, double* z) {
  return launch<shuffles_kernel>({.name = "shuffles", .block = 64}, x, y, z);
}

int line_fft(const float* x, float* y, int lines) {
  return launch<line_fft_kernel>({.name = "line_fft",
                                  .grid = dim3(lines),
                                  .block = 512,
                                  .shared_bytes = 4096 * 2 * sizeof(float)},
                                 x, y);
}

int divergent_barrier(float* y, int how) {
  return launch<divergent_barrier_kernel>({.name = "divergent_barrier", .block = 128}, y, how);
}

int out_of_range(const float* x, float* y, int n, int what) {
  return launch<out_of_range_kernel>(
      {.name = "out_of_range", .block = 32, .shared_bytes = 32 * sizeof(float)}, x, y, n, what);
}

int uninitialised(float* y) {
  return launch<uninitialised_kernel>(
      {.name = "uninitialised", .block = 32, .shared_bytes = 32 * sizeof(float)}, y);
}

int overlapping_blocks(float* y, bool read_only) {
  return launch<overlapping_blocks_kernel>({.name = "overlapping_blocks", .grid = 4, .block = 32},
                                           y, read_only);
}

int misaligned(const float* x, float* y) {
  return launch<misaligned_kernel>({.name = "misaligned", .block = 32}, x, y);
}

int constant_reads(float* y, int how) {
  return launch<constant_reads_kernel>({.name = "constant_reads", .block = 32}, y, how);
}

int race(float* y, Race kind) {
  return launch<race_kernel>({.name = "race", .block = 64}, y, kind);
}

int blocks_read(float* y) {
  return launch<blocks_read_kernel>({.name = "blocks_read", .grid = 3, .block = 64}, y);
}

int blocks_write(float* y, int blocks) {
  return launch<blocks_write_kernel>(
      {.name = "blocks_write", .grid = dim3(unsigned(blocks)), .block = 32}, y);
}

int early_access(float* y, Early what, bool second_overlaps) {
  const int first = launch<early_producer_kernel>({.name = "producer", .block = 32}, y);
  const int second =
      launch<early_awaiting_kernel>({.name = "awaiting", .block = 32, .overlaps = second_overlaps});
  const int third =
      launch<early_consumer_kernel>({.name = "consumer", .block = 32, .overlaps = true}, y, what);
  return first + second + third;
}

int overlap_nothing(float* y) {
  return launch<early_consumer_kernel>({.name = "alone", .block = 32, .overlaps = true}, y,
                                       Early::kNone);
}

int wrong_launch(dim3 grid, int threads, int64_t shared_bytes) {
  return launch<uninitialised_kernel>({.name = "wrong_launch",
                                       .grid = grid,
                                       .block = dim3(threads),
                                       .shared_bytes = size_t(shared_bytes)},
                                      static_cast<float*>(nullptr));
}

}  // namespace fnet::selftest
