// The kernel seq_grad; see kernels.h.
//
// The transform along seq of a line H[n, m] + i H[n, m + 1] is r[k, m] + i r[k, m + 1]: real values
// of columns m and m + 1, which are also those of columns -m and -m - 1 with rows in reverse order.
// A block has F[0] or F[1], hence even or odd rows.
//
// Columns are stored in aligned pairs (m, m + 1), but their images fall into pairs (-m - 2, -m -
// 1). Column -m - 2 has the values of column m + 2 of the next line. The last line of a tile gets
// them from the next tile, whose block started earlier and writes its first column to args.edges.
// So only one block updates each sector of dx within a tile.
#pragma once

#include "cuda/kernels.h"
#include "cuda/seq_line.h"

namespace fnet {

template <class T, int Shape>
FNET_KERNEL_BOUNDS((SeqBlock<T, Shape>::kThreads), (SeqBlock<T, Shape>::kTile.grad_blocks))
void seq_grad_kernel(SeqGradArgs<T> args) {
  using K = SeqLine<T, Shape>;
  static_assert(fit(K::kTile.grad_blocks, K::kSharedBytes));
  constexpr int kPoints = K::kLine.points, kLineThreads = K::Fft::kLineThreads;
  const int tiles = int(gridDim.x), odd = int(blockIdx.y);
  const int64_t half = 2 * int64_t(blockIdx.z) + odd;
  // Recomputed at each use, like K::fft().
  const auto tile = [&] { return tiles - 1 - opaque(block_index()); };

  Complex<float> z[kPoints];
  {
    const auto [shared, line_thread, line] = K::fft();
    // Threads after the last line repeat it.
    const int column = min_of(tile() * K::kLines + line, spectrum_lines(args.hidden) - 1);
    const Complex<float>* F =
        args.spectrum + (half * K::kLength + line_thread) * args.pitch + column;
    const unsigned pitch = unsigned(args.pitch) * sizeof(Complex<float>);
    static_for<kPoints>([&](auto q) {
      z[K::slot_of(q)] = load_global<Cache::kReadOnly>(rows_on(F, pitch, kLineThreads * q));
    });
  }
  if (odd) {
    const Twiddles<2, K::kLength> w(K::fft().line_thread);
    static_for<kPoints>(
        [&](auto q) { z[K::slot_of(q)] = z[K::slot_of(q)] * w(1, kLineThreads * q); });
  }
  K::fft().template finish<0>(z);

  // A thread has the same rows in the same registers in every tile, so edges are stored in that
  // order.
  const auto edge = [&](int t) {
    return args.edges + (half * tiles + t) * K::kLength + 2 * K::fft().line_thread;
  };
  const auto flag = [&](int t) { return args.flags + half * tiles + t; };
  if (K::fft().line == 0) {
    float* to = edge(tile());
    static_for<kPoints / 2>([&](auto i) {
      store_global(to + 2 * kLineThreads * i, Vec<float, 2>{z[2 * i].re, z[2 * i + 1].re});
    });
  }
  announce(flag(tile()));

  // Adds register i of z to the pair of columns at pair_of(first, i).
  constexpr int kBatch = K::loads_in_flight(K::kTile.grad_blocks, sizeof(T) == 4 ? 1 : 0);
  const unsigned row_bytes = unsigned(args.hidden) * sizeof(T);
  const auto add = [&](T* first, bool wanted, const auto& pair_of) {
    static_for<kPoints / kBatch>([&](auto batch) {
      Vec<T, 2> du[kBatch] = {};
      T* again = opaque(first);  // an address takes fewer registers to compute than to keep
      static_for<kBatch>([&](auto i) {
        if (wanted) du[i] = load_global<2>(pair_of(first, constant<batch * kBatch + i>));
      });
      static_for<kBatch>([&](auto i) {
        const Complex<float> r = z[batch * kBatch + i];
        const auto d = widened(du[i]);
        const float sum[] = {d[0] + args.scale * r.re, d[1] + args.scale * r.im};
        if (wanted) store_global(pair_of(again, constant<batch * kBatch + i>), rounded<T>(sum));
      });
    });
  };
  T* dx = args.dx + int64_t(blockIdx.z) * K::kSeq * args.hidden;
  {
    const auto [shared, line_thread, line] = K::fft();
    const int m = 2 * (tile() * K::kLines + line), row = 2 * line_thread + odd;
    // Column d / 2 is only an image.
    add(dx + row * args.hidden + m, m < args.hidden / 2,
        [&](T* first, auto i) { return rows_on(first, row_bytes, 2 * K::Fft::frequency(0, i)); });
  }

  const int next_tile = tile() + 1;
  bool in_time = true;
  if (next_tile < tiles) in_time = await(flag(next_tile));
  const auto [shared, line_thread, line] = K::fft();
  const bool to_next_tile = line == K::kLines - 1 && next_tile < tiles;
  const float* from = edge(next_tile);
  static_for<kPoints / 2>([&](auto i) {
    if constexpr (i % kBatch == 0) sync_warp();  // bounds the loads in flight, hence registers
    Vec<float, 2> next = {};
    if (to_next_tile) next = load_global<2>(from + 2 * kLineThreads * i);
    static_for<2>([&](auto e) {
      float& left = z[2 * i + e].re;
      const float neighbour = shuffle(left, thread_index() % kWarp + 1);
      left = to_next_tile ? next[e] : neighbour;
    });
  });
  // Offsets are relative to the row of the last register. Row 0 is its own mirror image.
  constexpr int kLast = K::Fft::frequency(0, kPoints - 1);
  const int m = 2 * (tile() * K::kLines + line), row = 2 * line_thread + odd;
  const int last = K::kSeq - row - 2 * kLast;
  add(dx + (last + 1) * args.hidden - m - 2, m < args.hidden / 2, [&](T* first, auto i) {
    T* pair = rows_on(first, row_bytes, 2 * (kLast - K::Fft::frequency(0, i)));
    return i == 0 && row == 0 ? pair - K::kSeq * args.hidden : pair;
  });
  if (!in_time) trap();
}

template <class T>
int launch_seq_grad(const SeqGradArgs<T>& args, int shape, void* stream) {
  int status = 0;
  with_seq_shape<T, SeqKernel::kGrad>(shape, [&](auto i) {
    auto config = SeqLine<T, i>::config("seq_grad", args, stream);
    config.in_order = true;
    status = launch<seq_grad_kernel<T, i>>(config, args);
  });
  return status;
}

}  // namespace fnet
