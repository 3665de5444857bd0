// The kernel seq_fft; see kernels.h.
#pragma once

#include "core/layer_norm.h"
#include "cuda/kernels.h"
#include "cuda/seq_line.h"
#include "cuda/sequence_table.h"

namespace fnet {

// What a row of `hidden` numbers has for the columns of a line: m, m + 1, then -m, -m - 1.
template <class T>
struct LineColumns {
  Vec<T, 2> here, image;

  // The row may be null: then all numbers are `otherwise`.
  FNET_DEVICE void load(const T* row, int hidden, int m, float otherwise) {
    if (!row) {
      const float two[2] = {otherwise, otherwise};
      here = image = rounded<T, 2>(two);
      return;
    }
    here = load_global<2, Cache::kReadOnly>(row + m);
    image[0] = load_global<Cache::kReadOnly>(row + (m == 0 ? 0 : hidden - m));
    image[1] = load_global<Cache::kReadOnly>(row + (hidden - m - 1));
  }
};

// Adapted: reads scaled or normalised rows in place of x, or x where a table says; see SeqFftArgs.
// Then every row has statistics, 0 and 1 by default, because branches around them would take
// registers.
template <class T, int Shape, bool Adapted>
FNET_KERNEL_BOUNDS((SeqBlock<T, Shape>::kThreads), (SeqBlock<T, Shape>::compiled_blocks(Adapted)))
void seq_fft_kernel(SeqFftArgs<T> args) {
  using K = SeqLine<T, Shape>;
  if (args.x_is_new) await_previous_kernel();
  launch_dependents();
  const int line = thread_index() % K::kLines, line_thread = thread_index() / K::kLines;
  // Threads after the last line repeat it.
  const int m = 2 * min_of(block_index() * K::kLines + line, spectrum_lines(args.hidden) - 1);
  const int odd = int(blockIdx.y);
  const int64_t sequence = blockIdx.z, stride = args.row_stride;
  SequenceRows rows = {sequence * args.batch_stride, 0, K::kSeq};
  LineColumns<T> weight;
  if constexpr (Adapted) {
    if (args.sequences) rows = load_global(args.sequences + sequence);
    weight.load(args.weight, args.hidden, m, 1);
  }
  const T* x = args.x + rows.x;

  // Columns -m-1 and -m-2 are an aligned pair. Column -m is the column -m-2 of the neighbouring
  // line, which has loaded it. Only the first line of a tile has no neighbour and loads it itself.
  const int row = 2 * line_thread + odd;
  const T* here_at = x + row * stride + m;
  const T* there_at = x + (K::kSeq - row) * stride + (args.hidden - m - 2);
  constexpr int kRows = 2 * K::Fft::kLineThreads;  // between two points of a thread
  // Computed at each use where registers are scarce.
  const auto step = [&] { return (kScarce && !Adapted ? opaque(kRows) : kRows) * stride; };
  const int to_edge = m == 0 ? 2 - args.hidden : 2;  // from column -m-2 to -m
  constexpr int kBatch = K::template loads_in_flight<Adapted>();
  Complex<float> z[K::kLine.points];
  static_for<K::kLine.points>([&](auto q) {
    // Bounds the loads in flight, hence registers.
    if constexpr (q > 0 && q % kBatch == 0) sync_warp();
    // Row 0 is its own mirror image.
    const bool is_first = q == 0 && row == 0;
    const T* image_at = is_first ? there_at - K::kSeq * stride : there_at;
    // Addresses from an opaque index take fewer registers to compute than to keep.
    const int i = (Adapted ? opaque(line_thread) : line_thread) + K::Fft::kLineThreads * q;
    const int n = 2 * i + odd;
    const bool exists = !Adapted || n < rows.rows;
    const bool image_exists = !Adapted || is_first || n + rows.rows > K::kSeq;
    auto pair = widened(exists ? load_global<2>(here_at) : Vec<T, 2>{});
    auto image = widened(image_exists ? load_global<2>(image_at) : Vec<T, 2>{});  // -m-2, -m-1
    float minus_m = shuffle(image[0], thread_index() % kWarp - 1);
    if (line == 0) minus_m = load_scalar(image_exists ? load_global(image_at + to_edge) : T{});
    if constexpr (Adapted) {
      // statistics_index of row n and of its mirror image, which are both even or both odd.
      const int half = (2 * int(blockIdx.z) + odd) * K::kLength;
      const int here_row = half + i, there_row = half + (is_first ? 0 : K::kLength - odd - i);
      RowStatistics here = {0, 1}, there = {0, 1};
      if (args.statistics) {
        here = load_global(args.statistics + here_row);
        there = load_global(args.statistics + there_row);
      }
      const auto w = widened(weight.here), image_w = widened(weight.image);
      pair = {normalize(pair[0], here.mean, here.rstd) * w[0],
              normalize(pair[1], here.mean, here.rstd) * w[1]};
      minus_m = normalize(minus_m, there.mean, there.rstd) * image_w[0];
      image[1] = normalize(image[1], there.mean, there.rstd) * image_w[1];
    }
    z[K::slot_of(q)] = {pair[0] + minus_m, pair[1] + image[1]};
    here_at = opaque(here_at + step());
    there_at = opaque(there_at - step());
  });

  const auto fft = K::fft();
  fft.template finish<0>(z);

  if (odd) {
    const Twiddles<2, K::kLength> w(K::fft().line_thread);
    static_for<K::kLine.points>([&](auto i) { z[i] = z[i] * w(1, K::Fft::frequency(0, i)); });
  }
  await_previous_kernel();  // it may still read the spectrum of the slice before
  // Computed again where registers are scarce, instead of kept.
  const auto place = Adapted ? K::fft() : fft;
  const int j = block_index() * K::kLines + place.line;
  if (j >= spectrum_lines(Adapted ? opaque(args.hidden) : args.hidden)) return;
  if constexpr (Adapted) {
    // The bias is the same in all rows: its transform along seq is row 0 alone.
    if (args.bias && place.line_thread == 0) {
      LineColumns<T> bias;
      bias.load(args.bias, args.hidden, 2 * j, 0);
      const auto here = widened(bias.here), image = widened(bias.image);
      z[0].re += float(K::kLength) * (here[0] + image[0]);
      z[0].im += float(K::kLength) * (here[1] + image[1]);
    }
  }
  const unsigned pitch = unsigned(args.pitch) * sizeof(Complex<float>);
  const int64_t first = (2 * sequence + odd) * K::kLength + place.line_thread;
  // Which of the two needs fewer registers was found by trial.
  Complex<float>* F = Adapted ? args.spectrum + first * args.pitch + j
                              : rows_on(args.spectrum + j, pitch, int(first));
  static_for<K::kLine.points>(
      [&](auto i) { store_global(rows_on(F, pitch, K::Fft::frequency(0, i)), z[i]); });
}

template <class T, int Shape, bool Adapted>
int launch_seq_tiles(const SeqFftArgs<T>& args, Order order, void* stream) {
  using K = SeqBlock<T, Shape>;
  if constexpr (Adapted && K::kTile.adapted_blocks == 0) {
    static_assert(K::kSeq == SeqBlock<T, Shape + 1>::kSeq);
    return launch_seq_tiles<T, Shape + 1, true>(args, order, stream);
  } else {
    // A block per tile of the even and of the odd rows.
    return launch<seq_fft_kernel<T, Shape, Adapted>>(
        {.name = "seq_fft",
         .grid = dim3(unsigned(K::tiles(args.hidden)), 2, unsigned(args.batch)),
         .block = dim3(K::kThreads),
         .shared_bytes = size_t(K::kSharedBytes),
         .stream = stream,
         .overlaps = order == Order::kOverlaps},
        args);
  }
}

template <class T>
int launch_seq_fft(const SeqFftArgs<T>& args, int shape, Order order, void* stream) {
  int status = kNoShape;
  with_seq_shape<T>(shape, [&](auto i) {
    status = args.is_adapted() ? launch_seq_tiles<T, i, true>(args, order, stream)
                               : launch_seq_tiles<T, i, false>(args, order, stream);
  });
  return status;
}

}  // namespace fnet
