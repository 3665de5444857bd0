// LayerNorm's gradient for aligned rows that fit in the registers of a block; see NormGradArgs.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>

#include "core/layer_norm.h"
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/swizzle.h"

namespace fnet {

template <class T>
struct NormGradTask {
  using R = Compute<T>;
  const T *grad, *normalized, *weight, *residual;
  const R *rstd, *mean;
  NormType norm;
  int64_t rows, hidden, chunk_rows;
  T* du;
  R* partials;  // [chunks, 2, hidden]: sums for dweight, then for dbias; or null

  NormGradTask(const NormGradArgs& args, void* partials)
      : grad(static_cast<const T*>(args.grad)),
        normalized(static_cast<const T*>(args.normalized)),
        weight(static_cast<const T*>(args.weight)),
        residual(static_cast<const T*>(args.residual)),
        rstd(static_cast<const R*>(args.rstd)),
        mean(static_cast<const R*>(args.mean)),
        norm(args.norm),
        rows(args.rows),
        hidden(args.hidden),
        chunk_rows(norm_grad_chunk_rows(args.rows)),
        du(static_cast<T*>(args.du)),
        partials(static_cast<R*>(partials)) {}

  // The mean of g that the gradient subtracts, from the sum of g over a row.
  FNET_DEVICE R mean_of(R sum_g) const {
    return norm == NormType::kLayer ? sum_g / R(hidden) : R(0);
  }
};

// Whether all rows that a kernel reads or writes begin at multiples of `bytes`, if the first does.
inline bool is_aligned(const NormGradArgs& args, size_t bytes) {
  const void* const tensors[] = {args.grad, args.normalized, args.residual, args.weight, args.du};
  return std::all_of(std::begin(tensors), std::end(tensors),
                     [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; });
}

inline constexpr int kNormGradThreads = 256;

// A block takes a chunk of rows, `row_threads` of its threads one row at a time. Thread t of them
// has V vectors of 16 bytes, t, t + row_threads, ..., and the sums of their columns for dweight and
// dbias in registers. The next row is in flight meanwhile, if the registers suffice.
//
// NormFirst: with mean and residual; the previous kernel writes grad.
template <class T, int V, bool NormFirst>
FNET_KERNEL_BOUNDS(kNormGradThreads, 2)
void norm_grad_rows_kernel(NormGradTask<T> task, int row_threads) {
  constexpr int W = 16 / int(sizeof(T));
  constexpr bool kAhead = V * W <= 16;
  if constexpr (NormFirst) await_previous_kernel();
  launch_dependents();
  const int slots = kNormGradThreads / row_threads;
  const int slot = thread_index() / row_threads, row_thread = thread_index() % row_threads;
  const int hidden = int(task.hidden);
  const int64_t begin = int64_t(blockIdx.x) * task.chunk_rows;
  const int rows = int(min_of(task.chunk_rows, task.rows - begin));
  const auto column = [&](int v) { return (row_thread + row_threads * v) * W; };
  const auto weight_of = [&](int v) {
    Vec<float, W> weight;
    static_for<W>([&](auto e) { weight[e] = 1; });
    if (task.weight && column(v) < hidden)
      weight = widened(load_global<W, Cache::kReadOnly>(task.weight + column(v)));
    return weight;
  };

  struct Row {
    Vec<T, W> dy[V], x[V];
    float rstd, mean;

    // Vector v, normalised.
    FNET_DEVICE Vec<float, W> xhat(const Vec<T, W>& v) const {
      auto numbers = widened(v);
      if constexpr (NormFirst)
        static_for<W>([&](auto e) { numbers[e] = normalize(numbers[e], mean, rstd); });
      return numbers;
    }
  };
  const auto load = [&](int n) {
    Row row = {};
    if (n >= rows) return row;
    const int64_t at = (begin + n) * hidden;
    static_for<V>([&](auto v) {
      if (column(v) >= hidden) return;
      row.dy[v] = load_global<W>(task.grad + at + column(v));
      row.x[v] = load_global<W>(task.normalized + at + column(v));
    });
    row.rstd = task.rstd ? load_global(task.rstd + begin + n) : 1.0f;
    if constexpr (NormFirst) row.mean = load_global(task.mean + begin + n);
    return row;
  };

  // The sums of two numbers over a row. Rows of several warps use two sets of places in turn.
  constexpr int kWarps = kNormGradThreads / kWarp;
  const auto places = shared_memory<float>();
  int set = 0;
  const auto sum_over_row = [&](float (&total)[2]) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2)
      static_for<2>([&](auto i) { total[i] += shuffle_xor(total[i], mask); });
    const int warps = row_threads / kWarp;
    if (warps == 1) return;
    const auto place = [&](int i, int warp) { return (2 * set + i) * kWarps + warp; };
    if (thread_index() % kWarp == 0)
      static_for<2>([&](auto i) { places.store(place(i, thread_index() / kWarp), total[i]); });
    sync_threads();
    static_for<2>([&](auto i) {
      total[i] = 0;
      for (int w = 0; w < warps; ++w) total[i] += places.load(place(i, slot * warps + w));
    });
    set ^= 1;
  };

  float dweight[V * W] = {}, dbias[V * W] = {};
  Row next = {};
  if (kAhead) next = load(slot);
  for (int first = 0; first < rows; first += slots) {
    const int n = first + slot;
    const Row row = kAhead ? next : load(n);
    if (kAhead) next = load(n + slots);
    float total[2] = {0, 0};
    static_for<V>([&](auto v) {
      const auto dy = widened(row.dy[v]), xhat = row.xhat(row.x[v]);
      const auto weight = weight_of(v);
      static_for<W>([&](auto e) {
        total[0] += dy[e] * weight[e];
        total[1] += dy[e] * weight[e] * xhat[e];
      });
    });
    sum_over_row(total);
    const float mean_g = task.mean_of(total[0]), mean_gx = total[1] / float(hidden);
    static_for<V>([&](auto v) {
      if (n >= rows || column(v) >= hidden) return;
      // Widened again, because registers hold a row only as it is stored.
      const auto dy = widened(opaque(row.dy[v])), xhat = row.xhat(opaque(row.x[v]));
      const auto weight = weight_of(v);
      const int64_t at = (begin + n) * hidden + column(v);
      [[maybe_unused]] Vec<float, W> added = {};
      if constexpr (NormFirst) added = widened(load_global<W>(task.residual + at));
      float du[W];
      static_for<W>([&](auto e) {
        du[e] = norm_gradient(dy[e] * weight[e], xhat[e], mean_g, mean_gx) * row.rstd;
        if constexpr (NormFirst) du[e] += added[e];
        dweight[v * W + e] += dy[e] * xhat[e];
        dbias[v * W + e] += dy[e];
      });
      store_global(task.du + at, rounded<T>(du));
    });
  }

  if (task.partials) {
    sync_threads();  // after the last reads of the places
    // The rows' threads add their sums one after another, so that the result is always the same.
    const auto totals = shared_memory<float>();
    const int padded = padded_row(hidden);
    for (int s = 0; s < slots; ++s) {
      static_for<V * W / 4>([&](auto q) {
        const int at = column(4 * q / W) + 4 * q % W;
        if (s != slot || at >= hidden) return;
        Vec<float, 4> w = {}, b = {};
        const auto of_weight = totals + swizzled(at), of_bias = of_weight + padded;
        if (s > 0) w = of_weight.template load<4>(0), b = of_bias.template load<4>(0);
        static_for<4>([&](auto e) { w[e] += dweight[4 * q + e], b[e] += dbias[4 * q + e]; });
        of_weight.template store<4>(0, w);
        of_bias.template store<4>(0, b);
      });
      sync_threads();
    }
    float* to = task.partials + int64_t(blockIdx.x) * 2 * hidden;
    for (int l = thread_index() * 4; l < hidden; l += kNormGradThreads * 4)
      for (int i = 0; i < 2; ++i)
        store_global(to + i * hidden + l, totals.template load<4>(i * padded + swizzled(l)));
  }
  await_previous_kernel();
}

// How norm_grad_rows_kernel runs; none for arguments that it does not take.
template <class T>
struct RowsLaunch {
  static constexpr int kWidth = 16 / int(sizeof(T));
  static constexpr int kMaxVectors = sizeof(T) == 2 ? 3 : 4;  // more would spill
  // The binding computes this backward pass in float32 where x is float16.
  static constexpr bool kHasNormFirst = !std::is_same_v<T, Float16>;
  // So that launch() need not raise a limit that depends on the hidden size.
  static_assert(2 * padded_row(kMaxVectors * kNormGradThreads * kWidth) * sizeof(float) <=
                48 << 10);
  int row_threads, vectors;

  static std::optional<RowsLaunch> of(const NormGradArgs& args) {
    const int64_t all = args.hidden / kWidth;
    if (sizeof(T) == 8 || args.hidden % kWidth || all > kMaxVectors * kNormGradThreads ||
        !is_aligned(args, 16) || (args.mean && !kHasNormFirst))
      return {};
    int threads = kWarp;
    while (all > kMaxVectors * threads) threads *= 2;
    return RowsLaunch{threads, int((all + threads - 1) / threads)};
  }

  int run(const NormGradTask<T>& task, Order order, void* stream) const {
    const size_t sums = 2 * size_t(padded_row(int(task.hidden))),
                 places = 4 * kNormGradThreads / kWarp;
    const LaunchConfig config = {.name = "norm_grad",
                                 .grid = dim3(unsigned(norm_grad_chunks(task.rows))),
                                 .block = dim3(kNormGradThreads),
                                 .shared_bytes = std::max(sums, places) * sizeof(float),
                                 .stream = stream,
                                 .overlaps = order == Order::kOverlaps};
    int status = 0;
    if constexpr (sizeof(T) < 8)
      static_for<kMaxVectors>([&](auto v) {
        if (vectors != v + 1) return;
        if constexpr (kHasNormFirst) {
          if (task.mean) {
            status = launch<norm_grad_rows_kernel<T, v + 1, true>>(config, task, row_threads);
            return;
          }
        }
        status = launch<norm_grad_rows_kernel<T, v + 1, false>>(config, task, row_threads);
      });
    return status;
  }
};

}  // namespace fnet
