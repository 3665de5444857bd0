// launch_seq_grad, defined: see kernels.h.
//
// The transform along seq of a line H[n, m] + i H[n, m + 1] is r[k, m] + i r[k, m + 1], real rows
// of columns m and m + 1, which are also those of columns -m and -m - 1, upside down.
#pragma once

#include "cuda/kernels.h"
#include "cuda/seq_line.h"
#include "fft/mirror.h"

namespace fnet {

template <class T, int Shape>
FNET_KERNEL_BOUNDS((SeqBlock<T, Shape>::kThreads), (SeqBlock<T, Shape>::kTile.grad_blocks))
void seq_grad_kernel(SeqGradArgs<T> args) {
  using K = SeqLine<T, Shape>;
  constexpr int kPoints = K::kLine.points;
  const int line = int(threadIdx.x) % K::kLines, lane = int(threadIdx.x) / K::kLines;
  const int column = int(blockIdx.x) * K::kLines + line, m = 2 * column;
  const int64_t sequence = blockIdx.y;

  Complex<float> z[kPoints];
  {
    const bool inside = column < spectrum_lines(args.hidden);
    const Complex<float>* F = args.spectrum + (sequence * K::kLength + lane) * args.pitch + column;
    static_for<kPoints>([&](auto q) {
      z[K::slot_of(q)] = {0, 0};
      if (inside) z[K::slot_of(q)] = load_global<Cache::kReadOnly>(F);
      F += K::Fft::kLanes * args.pitch;
    });
  }
  const typename K::Fft fft{shared_memory<Complex<float>>(), lane, line};
  fft.template finish<0>(z);

  // A line writes columns m and m + 1, and the aligned pair -m - 2, -m - 1: the former is the next
  // line's -m. At the tile's edges each writes its half of the pair. The last line of all, column
  // d / 2, has that half alone.
  const bool pair = m < args.hidden / 2;
  const bool first = line == 0, last = line == K::kLines - 1;
  const bool edge = first ? m > 0 && m <= args.hidden / 2 : last && pair;
  T* here_at = args.dx + sequence * K::kLength * args.hidden + m;
  T* there_at = args.dx + sequence * K::kLength * args.hidden + (args.hidden - m - 2);
  T* edge_at = there_at + (first ? 2 : 1);

  // Points whose du is on its way at once: few where the line takes over half of all registers.
  constexpr int kBatch = kPoints > 16 && K::kThreads * kPoints <= 16384 ? 4 : 2;
  static_for<kPoints / kBatch>([&](auto batch) {
    Vec<T, 2> here[kBatch] = {}, there[kBatch] = {};
    T alone[kBatch] = {};
    int row[kBatch], minus_row[kBatch];  // within the sequence: less than 2^31
    static_for<kBatch>([&](auto i) {
      const int k = K::Fft::frequency(lane, batch * kBatch + i), minus_k = mirror(k, K::kLength);
      row[i] = k * args.hidden, minus_row[i] = minus_k * args.hidden;
      if (pair) here[i] = load_global<2>(here_at + row[i]);
      if (pair && !last) there[i] = load_global<2>(there_at + minus_row[i]);
      if (edge) alone[i] = load_global(edge_at + minus_row[i]);
    });
    static_for<kBatch>([&](auto i) {
      const Complex<float> r = z[batch * kBatch + i];
      const float next = shuffle(r.re, int(threadIdx.x) % kWarp + 1);
      const auto add = [&](T& to, float value) {
        store_scalar(to, load_scalar(to) + args.scale * value);
      };
      add(here[i][0], r.re);
      add(here[i][1], r.im);
      add(there[i][0], next);
      add(there[i][1], r.im);
      add(alone[i], first ? r.re : r.im);
      if (pair) store_global(here_at + row[i], here[i]);
      if (pair && !last) store_global(there_at + minus_row[i], there[i]);
      if (edge) store_global(edge_at + minus_row[i], alone[i]);
    });
  });
}

template <class T>
int launch_seq_grad(const SeqGradArgs<T>& args, const CudaQueue& queue) {
  int status = 0;
  visit_seq_shape<T>(args.seq, queue.device.shared_bytes, [&](auto shape) {
    using K = SeqBlock<T, shape>;
    status = launch<seq_grad_kernel<T, shape>>(
        {.name = "seq_grad",
         .grid = dim3(unsigned(K::tiles(args.hidden)), unsigned(args.batch)),
         .block = dim3(K::kThreads),
         .shared_bytes = size_t(K::kSharedBytes),
         .stream = queue.stream},
        args);
  });
  return status;
}

}  // namespace fnet
