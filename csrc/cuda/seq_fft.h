// launch_seq_fft, defined: see kernels.h.
#pragma once

#include "cuda/kernels.h"
#include "cuda/seq_line.h"
#include "fft/mirror.h"

namespace fnet {

// How a thread asks for columns: for those of so many points at once, and whether the compiler may
// ask earlier still, past barriers, as it does for constants. A point is two registers, which hold
// its columns in 16 bits as well; in 32 they are two more. So 32 bits have few to spare, and 16
// where points are half of all there are.
struct SeqLoads {
  int batch;
  Cache cache;
};
template <class T, int Shape>
constexpr SeqLoads seq_loads() {
  using K = SeqBlock<T, Shape>;
  const int points = K::kThreads * K::kLine.points, all = points * K::kTile.fft_blocks;
  const int batch = points > 16384 ? 2 : points == 16384 ? 4 : K::kLine.points;
  if (sizeof(T) == 2) return {batch, Cache::kReadOnly};
  if (points > 8192) return {4, Cache::kReadOnly};
  return {all < 12288 ? 8 : all < 16384 ? 4 : 2, Cache::kDefault};
}

template <class T, int Shape>
FNET_KERNEL_BOUNDS((SeqBlock<T, Shape>::kThreads), (SeqBlock<T, Shape>::kTile.fft_blocks))
void seq_fft_kernel(SeqFftArgs<T> args) {
  using K = SeqLine<T, Shape>;
  const int line = int(threadIdx.x) % K::kLines, lane = int(threadIdx.x) / K::kLines;
  const int column = int(blockIdx.x) * K::kLines + line, m = 2 * column;
  const bool inside = column < spectrum_lines(args.hidden);
  const int odd = int(blockIdx.y);
  const int64_t sequence = blockIdx.z, stride = args.row_stride;
  const T* x = args.x + sequence * args.batch_stride;

  // Columns -m-1 and -m-2 are an aligned pair; -m comes from the neighbour, who read it as its
  // own -m-2. Only the tile's first line has no neighbour.
  const int row = 2 * lane + odd;
  const T* here_at = x + row * stride + m;
  const T* there_at = x + mirror(row, K::kSeq) * stride + (args.hidden - m - 2);
  const int64_t step = 2 * K::Fft::kLanes * stride;
  const int to_edge = m == 0 ? 2 - args.hidden : 2;  // from column -m-2 to -m
  constexpr int kBatch = seq_loads<T, Shape>().batch;
  constexpr Cache kAs = seq_loads<T, Shape>().cache;
  Complex<float> z[K::kLine.points];
  static_for<K::kLine.points>([&](auto q) {
    // Bounds how many loads the compiler keeps in flight, hence registers.
    if constexpr (q > 0 && q % kBatch == 0) sync_warp();
    Complex<float> here = {0, 0}, there = {0, 0};  // there: columns -m, -m-1
    float further = 0;                             // column -m-2
    if (inside) {
      const auto pair = load_global<2, kAs>(here_at);
      const auto mirrored = load_global<2, kAs>(there_at);
      here = {load_scalar(pair[0]), load_scalar(pair[1])};
      there.im = load_scalar(mirrored[1]);
      further = load_scalar(mirrored[0]);
    }
    there.re = shuffle(further, int(threadIdx.x) % kWarp - 1);
    if (line == 0) there.re = load_scalar(load_global<kAs>(there_at + to_edge));
    z[K::slot_of(q)] = here + there;
    here_at += step;
    // Row 0 is its own mirror image; from there on it is row N.
    there_at += (q == 0 && lane == 0 && odd == 0 ? K::kSeq * stride : 0) - step;
  });

  const typename K::Fft fft{shared_memory<Complex<float>>(), lane, line};
  fft.template finish<0>(z);

  if (odd)
    static_for<K::kLine.points>(
        [&](auto i) { z[i] = z[i] * twiddle<2, K::kLength>(1, K::Fft::frequency(lane, i)); });
  if (!inside) return;
  Complex<float>* F = args.spectrum + (2 * sequence + odd) * K::kLength * args.pitch +
                      int(blockIdx.x) * K::kLines + recomputed(line);
  static_for<K::kLine.points>(
      [&](auto i) { store_global(F + int64_t(K::Fft::frequency(lane, i)) * args.pitch, z[i]); });
}

template <class T>
int launch_seq_fft(const SeqFftArgs<T>& args, const CudaQueue& queue) {
  int status = 0;
  visit_seq_shape<T>(args.seq, queue.device.shared_bytes, [&](auto shape) {
    using K = SeqLine<T, shape>;
    status = launch<seq_fft_kernel<T, shape>>({.name = "seq_fft",
                                               .grid = K::grid(args.batch, args.hidden),
                                               .block = dim3(K::kThreads),
                                               .shared_bytes = size_t(K::kSharedBytes),
                                               .stream = queue.stream},
                                              args);
  });
  return status;
}

}  // namespace fnet
