// The statistics of rows that seq_fft normalises.
#include "core/layer_norm.h"
#include "cuda/device.h"
#include "cuda/kernels.h"

namespace fnet {
namespace {

constexpr int kThreads = 128;
// Vectors of 16 bytes that a thread holds of a row: 4096 numbers of 32 bits in the whole block.
constexpr int kVectors = 8;

// The place of a row of all sequences.
FNET_DEVICE int64_t place_of(int64_t row, int seq) {
  const int n = int(row % seq);
  return row - n + statistics_index(n, seq);
}

// A group of `row_threads` threads, at least a warp, holds a row in registers. Thread t has vectors
// t, t + row_threads, ...
template <class T>
FNET_KERNEL_BOUNDS(kThreads, 1)
void row_statistics_kernel(RowStatisticsArgs<T> args, int row_threads) {
  constexpr int W = 16 / int(sizeof(T)), kWarps = kThreads / kWarp;
  launch_dependents();
  const int slot = thread_index() / row_threads, row_thread = thread_index() % row_threads;
  const int64_t row = int64_t(blockIdx.x) * (kThreads / row_threads) + slot;
  const bool wanted = row < args.batch * args.seq;
  const auto column = [&](int v) { return (row_thread + row_threads * v) * W; };

  Vec<T, W> x[kVectors] = {};
  if (wanted) {
    const T* from = args.x + row / args.seq * args.batch_stride + row % args.seq * args.row_stride;
    static_for<kVectors>([&](auto v) {
      if (column(v) < args.hidden) x[v] = load_global<W>(from + column(v));
    });
  }

  const auto places = shared_memory<float>();  // of two sums
  const auto sum_over_row = [&](int place, float total) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) total += shuffle_xor(total, mask);
    const int warps = row_threads / kWarp;
    if (warps == 1) return total;
    const int at = place * kWarps;
    if (thread_index() % kWarp == 0) places.store(at + thread_index() / kWarp, total);
    sync_threads();
    total = 0;
    for (int w = 0; w < warps; ++w) total += places.load(at + slot * warps + w);
    return total;
  };

  float mean = 0;
  if (args.norm == NormType::kLayer) {
    float total = 0;
    static_for<kVectors>([&](auto v) {
      const auto u = widened(x[v]);
      static_for<W>([&](auto e) { total += u[e]; });
    });
    mean = sum_over_row(0, total) / float(args.hidden);
  }
  float squares = 0;
  static_for<kVectors>([&](auto v) {
    const auto u = widened(x[v]);
    if (column(v) < args.hidden)
      static_for<W>([&](auto e) { squares += (u[e] - mean) * (u[e] - mean); });
  });
  const float rstd = reciprocal_std(sum_over_row(1, squares), float(args.hidden), args.eps);
  await_previous_kernel();  // seq_fft may still read the statistics of the slice before
  if (wanted && row_thread == 0) {
    store_global(args.statistics + place_of(row, args.seq), RowStatistics{mean, rstd});
    store_global(args.mean + row, mean);
    store_global(args.rstd + row, rstd);
  }
}

FNET_KERNEL_BOUNDS(kThreads, 1)
void scale_statistics_kernel(const float* row_scale, int64_t rows, int seq,
                             RowStatistics* statistics) {
  launch_dependents();
  await_previous_kernel();  // seq_fft may still read the statistics of the slice before
  const int64_t row = int64_t(blockIdx.x) * kThreads + thread_index();
  if (row >= rows) return;
  store_global(statistics + place_of(row, seq), RowStatistics{0, load_global(row_scale + row)});
}

}  // namespace

int launch_scale_statistics(const float* row_scale, int64_t batch, int seq,
                            RowStatistics* statistics, Order order, void* stream) {
  const int64_t rows = batch * seq;
  return launch<scale_statistics_kernel>({.name = "scale_statistics",
                                          .grid = dim3(unsigned((rows + kThreads - 1) / kThreads)),
                                          .block = dim3(kThreads),
                                          .stream = stream,
                                          .overlaps = order == Order::kOverlaps},
                                         row_scale, rows, seq, statistics);
}

template <class T>
int launch_row_statistics(const RowStatisticsArgs<T>& args, Order order, void* stream) {
  const int vectors = args.hidden / (16 / int(sizeof(T)));
  int row_threads = kWarp;
  while (vectors > kVectors * row_threads) row_threads *= 2;
  const int64_t rows = args.batch * args.seq, of_a_block = kThreads / row_threads;
  return launch<row_statistics_kernel<T>>(
      {.name = "row_statistics",
       .grid = dim3(unsigned((rows + of_a_block - 1) / of_a_block)),
       .block = dim3(kThreads),
       .shared_bytes = 2 * kThreads / kWarp * sizeof(float),
       .stream = stream,
       .overlaps = order == Order::kOverlaps},
      args, row_threads);
}

template int launch_row_statistics(const RowStatisticsArgs<float>&, Order, void*);
template int launch_row_statistics(const RowStatisticsArgs<BFloat16>&, Order, void*);
template int launch_row_statistics(const RowStatisticsArgs<Float16>&, Order, void*);

}  // namespace fnet
