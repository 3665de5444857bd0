// launch_seq_fft, defined: see kernels.h.
#pragma once

#include "cuda/kernels.h"
#include "cuda/line_fft.h"
#include "fft/mirror.h"

namespace fnet {

template <int Shape>
struct SeqFft {
  static constexpr SeqShape kShape = kSeqShapes[Shape];
  static constexpr LineShape kLine = kShape.line;
  static constexpr int kLength = kLine.length, kLines = kShape.lines;
  static constexpr int kThreads = kLines * kLine.threads();
  static constexpr int kSharedBytes = tile_size<kLine, kLines>() * int(sizeof(Complex<float>));
  using Fft = LineFft<kLine, kLines>;
  using First = LineStage<kLine, 0>;
  static_assert(kThreads % kWarp == 0 && kWarp % kLines == 0);
};

template <class T, int Shape>
FNET_KERNEL_BOUNDS(SeqFft<Shape>::kThreads, 1)
void seq_fft_kernel(SeqFftArgs<T> args) {
  using K = SeqFft<Shape>;
  const int line = int(threadIdx.x) % K::kLines, lane = int(threadIdx.x) / K::kLines;
  const int column = int(blockIdx.x) * K::kLines + line, m = 2 * column;
  const bool inside = column < spectrum_lines(args.hidden);
  const T* x = args.x + int64_t(blockIdx.y) * args.batch_stride;
  const float* row_scale =
      args.row_scale ? args.row_scale + int64_t(blockIdx.y) * K::kLength : nullptr;

  // Columns -m-1 and -m-2 are an aligned pair; -m comes from the neighbour, who read it as its
  // own -m-2. Only the tile's first line has no neighbour.
  Complex<float> z[K::kLine.points];
  static_for<K::First::kButterflies>([&](auto i) {
    static_for<K::First::kRadix>([&](auto a) {
      const int n = lane + K::Fft::kLanes * i + K::First::kColumns * a;
      const int minus_n = mirror(n, K::kLength);
      const T* row = x + n * args.row_stride;
      const T* other = x + minus_n * args.row_stride;
      Complex<float> here = {0, 0}, there = {0, 0};  // there: columns -m, -m - 1
      float further = 0;                             // column -m - 2
      if (inside) {
        const auto pair = load_global<2, Cache::kReadOnly>(row + m);
        const auto mirrored = load_global<2, Cache::kReadOnly>(other + args.hidden - m - 2);
        here = {load_scalar(pair[0]), load_scalar(pair[1])};
        there.im = load_scalar(mirrored[1]);
        further = load_scalar(mirrored[0]);
      }
      there.re = shuffle(further, int(threadIdx.x) % kWarp - 1);
      if (line == 0)
        there.re = load_scalar(load_global<Cache::kReadOnly>(other + mirror(m, args.hidden)));
      if (row_scale) {
        const float s = load_global<Cache::kReadOnly>(row_scale + n);
        const float t = load_global<Cache::kReadOnly>(row_scale + minus_n);
        here = {here.re * s, here.im * s};
        there = {there.re * t, there.im * t};
      }
      z[i * K::First::kRadix + a] = here + there;
    });
  });

  const typename K::Fft fft{shared_memory<Complex<float>>(), lane, line};
  fft.template finish<0>(z);

  if (!inside) return;
  Complex<float>* F =
      args.spectrum + int64_t(blockIdx.y) * K::kLength * args.pitch + column;
  static_for<K::kLine.points>([&](auto i) {
    const int k = K::Fft::frequency(lane, i);
    store_global(F + int64_t(k) * args.pitch, z[i]);
  });
}

template <class T>
int launch_seq_fft(const SeqFftArgs<T>& args, void* stream) {
  int status = 0;
  visit_shape<kSeqShapes>(args.seq, [&](auto shape) {
    using K = SeqFft<shape.value>;
    const unsigned tiles = unsigned((spectrum_lines(args.hidden) + K::kLines - 1) / K::kLines);
    status = launch({.name = "seq_fft",
                     .grid = dim3(tiles, unsigned(args.batch)),
                     .block = dim3(K::kThreads),
                     .shared_bytes = size_t(K::kSharedBytes),
                     .stream = stream},
                    seq_fft_kernel<T, shape.value>, args);
  });
  return status;
}

}  // namespace fnet
