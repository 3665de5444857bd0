// The kernel seq_fft; see kernels.h.
#pragma once

#include "cuda/kernels.h"
#include "cuda/seq_line.h"
#include "cuda/sequence_table.h"

namespace fnet {

// The factors of a line's columns and the sums of their biases in the fold: m, m + 1, -m, -m - 1.
struct LineAffine {
  float weight[4] = {1, 1, 1, 1}, bias[2] = {0, 0};

  template <class T>
  FNET_DEVICE void load(const SeqFftArgs<T>& args, int m) {
    const auto columns = [&](const T* row, float (&out)[4]) {
      const int image = args.hidden - m;
      const auto pair = widened(load_global<2, Cache::kReadOnly>(row + m));
      const auto mirrored = widened(load_global<2, Cache::kReadOnly>(row + image - 2));
      const T first = load_global<Cache::kReadOnly>(row + (m == 0 ? 0 : image));
      out[0] = pair[0], out[1] = pair[1], out[2] = load_scalar(first), out[3] = mirrored[1];
    };
    if (args.weight) columns(args.weight, weight);
    if (args.bias) {
      float of_column[4];
      columns(args.bias, of_column);
      bias[0] = of_column[0] + of_column[2], bias[1] = of_column[1] + of_column[3];
    }
  }
};

// Adapted: x stands for normalised or scaled rows; see SeqFftArgs.
template <class T, int Shape, bool Adapted>
FNET_KERNEL_BOUNDS((SeqBlock<T, Shape>::kThreads), (SeqBlock<T, Shape>::kTile.blocks(Adapted)))
void seq_fft_kernel(SeqFftArgs<T> args) {
  using K = SeqLine<T, Shape>;
  if (args.x_is_new) await_previous_kernel();
  launch_dependents();
  const int line = thread_index() % K::kLines, line_thread = thread_index() / K::kLines;
  // Threads after the last line repeat it.
  const int m = 2 * min_of(block_index() * K::kLines + line, spectrum_lines(args.hidden) - 1);
  const int odd = int(blockIdx.y);
  const int64_t sequence = blockIdx.z, stride = args.row_stride;
  const SequenceRows rows = sequence_rows(args, sequence);
  const T* x = args.x + rows.x;

  // Columns -m-1 and -m-2 are an aligned pair. Column -m is the column -m-2 of the neighbouring
  // line, which has loaded it. Only the first line of a tile has no neighbour and loads it itself.
  const int row = 2 * line_thread + odd;
  const T* here_at = x + row * stride + m;
  const T* there_at = x + (K::kSeq - row) * stride + (args.hidden - m - 2);
  const int64_t step = 2 * K::Fft::kLineThreads * stride;
  const int to_edge = m == 0 ? 2 - args.hidden : 2;  // from column -m-2 to -m
  // A 16-bit load in flight needs no more registers than its point.
  constexpr int kBatch = K::loads_in_flight(K::kTile.blocks(Adapted), sizeof(T) == 4 ? 3 : 0);
  LineAffine affine;
  if constexpr (Adapted) affine.load(args, m);
  Complex<float> z[K::kLine.points];
  static_for<K::kLine.points>([&](auto q) {
    // Bounds the loads in flight, hence registers.
    if constexpr (q > 0 && q % kBatch == 0) sync_warp();
    // Row 0 is its own mirror image.
    const T* image_at = q == 0 && row == 0 ? there_at - K::kSeq * stride : there_at;
    // Addresses from an opaque index take fewer registers to compute than to keep.
    const int n = (Adapted ? opaque(row) : row) + 2 * K::Fft::kLineThreads * q;
    const int image_n = n == 0 ? 0 : K::kSeq - n;
    Vec<T, 2> loaded = {}, image_loaded = {};  // zeros past the rows
    if (!Adapted || n < rows.rows) loaded = load_global<2>(here_at);
    if (!Adapted || image_n < rows.rows) image_loaded = load_global<2>(image_at);
    auto pair = widened(loaded);
    auto image = widened(image_loaded);  // columns -m-2, -m-1
    float minus_m = shuffle(image[0], thread_index() % kWarp - 1);
    if (line == 0) {
      T edge = {};
      if (!Adapted || image_n < rows.rows) edge = load_global(image_at + to_edge);
      minus_m = load_scalar(edge);
    }
    if constexpr (Adapted) {
      const int begin = int(blockIdx.z) * K::kSeq, at = begin + n, image_row = begin + image_n;
      if (args.mean) {
        const float mean = load_global(args.mean + at);
        const float image_mean = load_global(args.mean + image_row);
        pair = {pair[0] - mean, pair[1] - mean};
        image[1] -= image_mean, minus_m -= image_mean;
      }
      if (args.row_scale) {
        const float factor = load_global(args.row_scale + at);
        const float image_factor = load_global(args.row_scale + image_row);
        pair = {pair[0] * factor, pair[1] * factor};
        image[1] *= image_factor, minus_m *= image_factor;
      }
      if (args.weight || args.bias) {
        pair = {pair[0] * affine.weight[0] + affine.bias[0],
                pair[1] * affine.weight[1] + affine.bias[1]};
        minus_m *= affine.weight[2], image[1] *= affine.weight[3];
      }
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
    status = args.is_adapted() ? launch<seq_fft_kernel<T, i, true>>(config, args)
                               : launch<seq_fft_kernel<T, i, false>>(config, args);
  });
  return status;
}

}  // namespace fnet
