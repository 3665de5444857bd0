// The kernel seq_fft; see kernels.h.
#pragma once

#include "cuda/kernels.h"
#include "cuda/seq_line.h"

namespace fnet {

// Scaled: with a row_scale.
template <class T, int Shape, bool Scaled>
FNET_KERNEL_BOUNDS((SeqBlock<T, Shape>::kThreads), (SeqBlock<T, Shape>::kTile.blocks(Scaled)))
void seq_fft_kernel(SeqFftArgs<T> args) {
  using K = SeqLine<T, Shape>;
  if (args.x_is_new) await_previous_kernel();
  launch_dependents();
  const int line = thread_index() % K::kLines, line_thread = thread_index() / K::kLines;
  // Threads after the last line repeat it.
  const int m = 2 * min_of(block_index() * K::kLines + line, spectrum_lines(args.hidden) - 1);
  const int odd = int(blockIdx.y);
  const int64_t sequence = blockIdx.z, stride = args.row_stride;
  const T* x = args.x + sequence * args.batch_stride;

  // Columns -m-1 and -m-2 are an aligned pair. Column -m is the column -m-2 of the neighbouring
  // line, which has loaded it. Only the first line of a tile has no neighbour and loads it itself.
  const int row = 2 * line_thread + odd;
  const T* here_at = x + row * stride + m;
  const T* there_at = x + (K::kSeq - row) * stride + (args.hidden - m - 2);
  const int64_t step = 2 * K::Fft::kLineThreads * stride;
  const int to_edge = m == 0 ? 2 - args.hidden : 2;  // from column -m-2 to -m
  // A 16-bit load in flight needs no more registers than its point.
  constexpr int kBatch = K::loads_in_flight(K::kTile.blocks(Scaled), sizeof(T) == 4 ? 3 : 0);
  Complex<float> z[K::kLine.points];
  static_for<K::kLine.points>([&](auto q) {
    // Bounds the loads in flight, hence registers.
    if constexpr (q > 0 && q % kBatch == 0) sync_warp();
    // Row 0 is its own mirror image.
    const T* image_at = q == 0 && row == 0 ? there_at - K::kSeq * stride : there_at;
    auto pair = widened(load_global<2>(here_at));
    auto image = widened(load_global<2>(image_at));  // columns -m-2, -m-1
    float minus_m = shuffle(image[0], thread_index() % kWarp - 1);
    if (line == 0) minus_m = load_scalar(load_global(image_at + to_edge));
    if constexpr (Scaled) {
      // Addresses from an opaque index take fewer registers to compute than to keep.
      const int n = opaque(row) + 2 * K::Fft::kLineThreads * q, begin = int(blockIdx.z) * K::kSeq;
      const float factor = load_global(args.row_scale + (begin + n));
      const float image_factor = load_global(args.row_scale + (begin + (n == 0 ? 0 : K::kSeq - n)));
      pair = {pair[0] * factor, pair[1] * factor};
      image[1] *= image_factor, minus_m *= image_factor;
    }
    z[K::slot_of(q)] = {pair[0] + minus_m, pair[1] + image[1]};
    here_at = opaque(here_at + step);
    there_at = opaque(there_at - step);
  });

  const auto fft = K::fft();
  fft.template finish<0>(z);

  if (odd) {
    const Twiddles<2, K::kLength> w(K::fft().line_thread);
    static_for<K::kLine.points>([&](auto i) { z[i] = z[i] * w(1, K::Fft::frequency(0, i)); });
  }
  await_previous_kernel();  // it may still read the spectrum of the slice before
  const int j = block_index() * K::kLines + fft.line;
  if (j >= spectrum_lines(args.hidden)) return;
  Complex<float>* F =
      args.spectrum + ((2 * sequence + odd) * K::kLength + fft.line_thread) * args.pitch + j;
  const unsigned pitch = unsigned(args.pitch) * sizeof(Complex<float>);
  static_for<K::kLine.points>(
      [&](auto i) { store_global(rows_on(F, pitch, K::Fft::frequency(0, i)), z[i]); });
}

template <class T>
int launch_seq_fft(const SeqFftArgs<T>& args, int shape, Order order, void* stream) {
  int status = 0;
  with_seq_shape<T>(shape, [&](auto i) {
    using K = SeqBlock<T, i>;
    // A block per tile of the even and of the odd rows.
    const LaunchConfig config = {
        .name = "seq_fft",
        .grid = dim3(unsigned(K::tiles(args.hidden)), 2, unsigned(args.batch)),
        .block = dim3(K::kThreads),
        .shared_bytes = size_t(K::kSharedBytes),
        .stream = stream,
        .overlaps = order == Order::kOverlaps};
    if constexpr (kHasRowScale<T>) {
      if (args.row_scale) {
        status = launch<seq_fft_kernel<T, i, true>>(config, args);
        return;
      }
    }
    status = launch<seq_fft_kernel<T, i, false>>(config, args);
  });
  return status;
}

}  // namespace fnet
