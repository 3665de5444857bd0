// The kernel row_fft; see kernels.h.
//
// A line takes rows k1 = k and k2 = k + N/2 of the spectrum and yields up to four rows of y: these
// two and their mirror images. With G[k, m] the transform of column m,
//
//   2 G[k, 2j] = F[k, j] + conj F[-k, j],   2i G[k, 2j + 1] = F[k, j] - conj F[-k, j],
//   r[k, l] = sum_m G[k, m] w_d^{lm},       G[k, -m] = conj G[k, m],
//
// so r is real, and the transform of G[k1] + i G[k2] is r[k1] + i r[k2]. Output row k is r[k, l],
// row -k is r[k, -l].
//
// Rows k1 and k2 are F[0, k] + F[1, k] and F[0, k] - F[1, k]. Rows -k1 and -k2 follow from row N/2
// - k in the same way, with the signs exchanged, because that row is -k2. If k is 0 they follow
// from row 0, which is -k1.
#pragma once

#include "cuda/kernels.h"
#include "cuda/row_epilogue.h"
#include "cuda/row_line.h"
#include "fft/mirror.h"

namespace fnet {

// Two butterflies of the first stage. Because G[-m] = conj G[m], the second half of the elements
// m = b + C a of a row is the first half of those of -b, conjugated, and the outputs for -b are the
// conjugates of those for b. So thread b > 0 transforms rows k1 and k2 separately and combines them
// to butterflies b and -b. Thread 0 transforms both rows as one complex butterfly for b = 0, and
// again for b = C / 2, because in both cases -b is b.
//
// F: F[0] and F[1] of row k, then of its image. sign: that of the image's F[1] in row -k1.
template <int Shape>
FNET_DEVICE void first_stage(const typename RowLine<Shape>::Fft& fft,
                             const Complex<float>* const (&F)[4], float sign) {
  using K = RowLine<Shape>;
  using Point = Complex<float>;
  constexpr int R = K::kRadix, C = K::kColumns;
  const int b = fft.line_thread;
  const bool is_first = b == 0;
  const int minus_b = is_first ? C / 2 : C - b;
  const bool odd = b % 2 != 0;  // m and -m have the same parity

  // 2 G[k1, m] and 2 G[k2, m] for m = b + C a or -b + C a.
  const auto spectrum = [&](const Point* const(&at)[4], auto a) {
    Point part[2];  // of F[0] and of F[1]
    static_for<2>([&](auto p) {
      const Point f = load_global(at[p] + a * (C / 2));
      Point g = load_global(at[2 + p] + a * (C / 2));
      if (p == 1) g = {g.re * sign, g.im * sign};
      const Point sum = f + conj(g), difference = mul_minus_i(f - conj(g));
      part[p] = {odd ? difference.re : sum.re, odd ? difference.im : sum.im};
    });
    return std::pair{part[0] + part[1], part[0] - part[1]};
  };
  const Point *at_b[4], *at_minus_b[4];
  static_for<4>([&](auto i) {
    at_b[i] = F[i] + b / 2;
    at_minus_b[i] = F[i] + minus_b / 2;
  });

  Point z[2][R];  // butterfly 0 and 1
  static_for<R / 2>([&](auto a) {
    if constexpr (a > 0) sync_warp();  // bounds the loads in flight, hence registers
    const auto [p1, p2] = spectrum(at_b, a);
    const auto [q1, q2] = spectrum(at_minus_b, a);
    if (is_first) {
      z[0][a] = plus_i(p1, p2);
      if constexpr (a > 0) z[0][R - a] = plus_i(conj(p1), conj(p2));
      z[1][a] = plus_i(q1, q2);
      z[1][R - 1 - a] = plus_i(conj(q1), conj(q2));
    } else {
      z[0][a] = p1;
      z[0][R - 1 - a] = conj(q1);
      z[1][a] = p2;
      z[1][R - 1 - a] = conj(q2);
    }
  });
  if (is_first) {
    const auto [p1, p2] = spectrum(at_b, constant<R / 2>);
    z[0][R / 2] = plus_i(p1, p2);
  }

  Dft<R>::run(z[0]);
  Dft<R>::run(z[1]);
  const Twiddles<R, C> twiddle(is_first ? C / 2 : b);
  static_for<R - 1>([&](auto i) {
    constexpr int p = i + 1;
    const Point w = twiddle(p), rotated = z[0][p] * w;
    z[0][p] = {is_first ? z[0][p].re : rotated.re, is_first ? z[0][p].im : rotated.im};
    z[1][p] = z[1][p] * w;
  });
  static_for<R>([&](auto p) {
    const Point one = z[0][p], two = z[1][p];
    const Point plus = plus_i(one, two), minus = plus_i(conj(one), conj(two));
    z[0][p] = {is_first ? one.re : plus.re, is_first ? one.im : plus.im};
    z[1][p] = {is_first ? two.re : minus.re, is_first ? two.im : minus.im};
  });
  fft.template put<0>(z[0], b, 0);
  fft.template put<0>(z[1], minus_b, 0);
}

template <class T, int Shape>
FNET_KERNEL_BOUNDS((RowBlock<Shape>::kThreads), (RowBlock<Shape>::template compiled_blocks<T>()))
void row_fft_kernel(RowFftArgs<T> args) {
  using K = RowLine<Shape>;
  static_assert(fit(RowBlock<Shape>::template kBlocksPerSm<T>, K::kSharedBytes));
  launch_dependents();
  using Out = RowEpilogue<T, Shape>;
  const int line_thread = thread_index() % K::kLineThreads, slot = thread_index() / K::kLineThreads;
  const int half = args.seq / 2, lines = row_lines(args.seq);
  const unsigned all = unsigned(args.batch) * unsigned(lines);
  const unsigned requested = blockIdx.x * K::kLines + slot;
  const unsigned index = requested < all ? requested : all - 1;
  const int64_t b = index / lines;
  const int k = int(index % lines);

  const Complex<float>* F = args.spectrum + b * args.seq * args.pitch;
  const auto row = [&](int n) { return F + int64_t(n) * args.pitch; };
  const int image = mirror(k, half);
  const Complex<float>* const in[4] = {row(k), row(half + k), row(image), row(half + image)};
  const typename K::Fft fft{shared_memory<Complex<float>>() + slot * K::kTile, line_thread, 0};
  await_previous_kernel();  // which writes the spectrum
  first_stage<Shape>(fft, in, k == 0 ? 1.0f : -1.0f);
  Complex<float> z[K::kPoints];
  fft.template finish<1>(z);

  // The tile now holds floats: r[k1], then r[k2].
  const auto rows_at = shared_memory<float>(slot * K::kTile * int(sizeof(Complex<float>)));
  fft.sync();
  const int base = swizzled(line_thread);
  static_for<K::kPoints>([&](auto i) {
    const int l = swizzled_on<K::kLineThreads, K::Fft::frequency(0, i)>(base);
    rows_at.store(l, z[i].re);
    rows_at.store(K::kLength + l, z[i].im);
  });
  fft.sync();

  LineSum<Shape> sum{shared_memory<float>(K::kLines * K::kTile * int(sizeof(Complex<float>))) +
                         slot * K::kSums * K::kWarps,
                     line_thread};
  Out out{args, sum, line_thread};
  const bool is_valid = requested < all;
  out.finish_pair(rows_at, b, k, is_valid);
  const bool has_pair = k + half != mirror(k, args.seq);  // row N/4 is its own pair
  out.finish_pair(rows_at + K::kLength, b, k + half, is_valid && has_pair);
}

template <class T>
int launch_row_fft(const RowFftArgs<T>& args, int shape, Order order, void* stream) {
  int status = kNoShape;
  with_row_shape(shape, [&](auto i) {
    using K = RowBlock<i>;
    status =
        launch<row_fft_kernel<T, i>>({.name = "row_fft",
                                      .grid = dim3(unsigned(K::grid_size(args.batch, args.seq))),
                                      .block = dim3(K::kThreads),
                                      .shared_bytes = size_t(K::kSharedBytes),
                                      .stream = stream,
                                      .overlaps = order == Order::kOverlaps},
                                     args);
  });
  return status;
}

}  // namespace fnet
