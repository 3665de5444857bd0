// launch_seq_grad, defined: see kernels.h.
//
// The transform along seq of a line H[n, m] + i H[n, m + 1] is r[k, m] + i r[k, m + 1], real rows
// of columns m and m + 1, which are also those of columns -m and -m - 1, upside down.
//
// Columns lie in aligned pairs (m, m + 1), but their images in pairs (-m - 2, -m - 1): of the
// former the next line has the numbers, as column m + 2. The last line of a tile has them from the
// next tile, whose block began before and leaves its first column in args.edges. So each sector of
// dx is changed by one block, whole.
#pragma once

#include "cuda/kernels.h"
#include "cuda/seq_line.h"
#include "fft/mirror.h"

namespace fnet {

template <class T, int Shape>
FNET_KERNEL_BOUNDS((SeqBlock<T, Shape>::kThreads), (SeqBlock<T, Shape>::kTile.grad_blocks))
void seq_grad_kernel(SeqGradArgs<T> args) {
  using K = SeqLine<T, Shape>;
  constexpr int kPoints = K::kLine.points, kLanes = K::Fft::kLanes;
  const int line = int(threadIdx.x) % K::kLines, lane = int(threadIdx.x) / K::kLines;
  const int tiles = int(gridDim.x), tile = tiles - 1 - int(blockIdx.x);
  const int column = tile * K::kLines + line, m = 2 * column;
  const int odd = int(blockIdx.y);
  const int64_t sequence = blockIdx.z, half = 2 * sequence + odd;

  Complex<float> z[kPoints];
  {
    const bool inside = column < spectrum_lines(args.hidden);
    const Complex<float>* F = args.spectrum + (half * K::kLength + lane) * args.pitch + column;
    static_for<kPoints>([&](auto q) {
      Complex<float> point = {0, 0};
      if (inside) point = load_global<Cache::kReadOnly>(F);
      if (odd) point = point * twiddle<2, K::kLength>(1, lane + kLanes * q);
      z[K::slot_of(q)] = point;
      F += kLanes * args.pitch;
    });
  }
  const typename K::Fft fft{shared_memory<Complex<float>>(), lane, line};
  fft.template finish<0>(z);

  // A lane has the same rows in the same registers whatever the tile, so edges lie in that order.
  const auto edge = [&](int t) { return args.edges + (half * tiles + t) * K::kLength + 2 * lane; };
  const auto ready = [&](int t) { return args.ready + half * tiles + t; };
  if (line == 0)
    static_for<kPoints / 2>([&](auto i) {
      store_global(edge(tile) + 2 * kLanes * i, Vec<float, 2>{z[2 * i].re, z[2 * i + 1].re});
    });
  announce(ready(tile));

  // Points whose du is on its way at once: few where the line takes over half of all registers.
  constexpr int kBatch = kPoints > 16 && K::kThreads * kPoints <= 16384 ? 4 : 2;
  // Adds z to a pair of columns, given where it is in row 0 and which row frequency k belongs to.
  T* dx = args.dx + sequence * K::kSeq * args.hidden;
  const bool wanted = m < args.hidden / 2;  // column d / 2 is an image alone
  const auto add = [&](T* pair, const auto& row_of) {
    static_for<kPoints / kBatch>([&](auto batch) {
      Vec<T, 2> du[kBatch] = {};
      int at[kBatch];  // within the sequence: less than 2^31
      static_for<kBatch>([&](auto i) {
        at[i] = row_of(2 * K::Fft::frequency(lane, batch * kBatch + i) + odd) * args.hidden;
        if (wanted) du[i] = load_global<2>(pair + at[i]);
      });
      static_for<kBatch>([&](auto i) {
        const Complex<float> r = z[batch * kBatch + i];
        store_scalar(du[i][0], load_scalar(du[i][0]) + args.scale * r.re);
        store_scalar(du[i][1], load_scalar(du[i][1]) + args.scale * r.im);
        if (wanted) store_global(pair + at[i], du[i]);
      });
    });
  };
  add(dx + m, [](int k) { return k; });

  const int next_tile = recomputed(tile + 1);
  const bool to_next_tile = line == K::kLines - 1 && next_tile < tiles;
  if (next_tile < tiles) await(ready(next_tile));
  static_for<kPoints / 2>([&](auto i) {
    if constexpr (i % kBatch == 0) sync_warp();  // bounds the loads in flight, hence registers
    Vec<float, 2> next = {};
    if (to_next_tile) next = load_global<2>(edge(next_tile) + 2 * kLanes * i);
    static_for<2>([&](auto e) {
      float& left = z[2 * i + e].re;
      const float neighbour = shuffle(left, int(threadIdx.x) % kWarp + 1);
      left = to_next_tile ? next[e] : neighbour;
    });
  });
  add(dx + (args.hidden - m - 2), [](int k) { return mirror(k, K::kSeq); });
}

template <class T>
int launch_seq_grad(const SeqGradArgs<T>& args, const CudaQueue& queue) {
  int status = 0;
  visit_seq_shape<T>(args.seq, queue.device.shared_bytes, [&](auto shape) {
    using K = SeqLine<T, shape>;
    status = launch<seq_grad_kernel<T, shape>>({.name = "seq_grad",
                                                .grid = K::grid(args.batch, args.hidden),
                                                .block = dim3(K::kThreads),
                                                .shared_bytes = size_t(K::kSharedBytes),
                                                .stream = queue.stream,
                                                .in_order = true},
                                               args);
  });
  return status;
}

}  // namespace fnet
