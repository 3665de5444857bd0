// First pass, x -> G: fold, then the transform along seq, for blocks of 2 W columns.
//
// Lanes are columns. Two blocks of W real columns a and b travel as one complex line z = a + i b;
// after the transform  A_k = (Z_k + conj Z_{-k}) / 2  and  B_k = (Z_k - conj Z_{-k}) / 2i.
#pragma once

#include "cpu/caches.h"
#include "cpu/simd/line_fft.h"
#include "cpu/simd/prefetch.h"
#include "cpu/simd/storage.h"
#include "cpu/simd/transpose.h"
#include "cpu/spectrum.h"

namespace fnet::FNET_ISA {

// The sequence that a pass reads: row n of x, with the weight that it carries into the fold.
template <class T>
struct SeqInput {
  const T* x;
  int64_t row_stride;
  // weight[n] = row_scale[n] * scale / 4: the fold's half and the unpacking's.
  const Compute<T>* weight;
};

// Neighbouring blocks are folded together, up to this many columns and while their lines fit in a
// quarter of the second cache: rows of x are then read in longer runs. Longer ones still read
// faster, but their lines then come back from further away.
constexpr int64_t kRunColumns = 32;

// Rows of x are fetched this far ahead of the fold: they lie a row's length apart, which no
// hardware prefetcher follows. Into the second cache only: rows of a power of two share a few sets
// of the first.
constexpr int64_t kRowsAhead = 32;

template <class V>
FNET_FN int64_t group_size(int64_t seq) {
  const int64_t fitting =
      second_cache_bytes() / 4 / (line_extent(seq) * int64_t(sizeof(Complex<V>)));
  return fitting < 1 ? 1 : least(fitting, kRunColumns / (2 * V::kWidth));
}

// Point n of line i <- columns m0 + 2Wi .. m0 + 2W(i + 1) - 1 of row n of g, for i < count, where
// none of the columns nor of their mirrors wraps round: but for column 0, which is its own mirror
// and whose block comes alone (First).
template <int W, bool First, class T>
void fold_straight(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                   int64_t m0, int64_t count, Complex<Lanes<Compute<T>, W>>* lines) {
  constexpr int64_t kBytes = 2 * W * sizeof(T);
  const int64_t seq = plan.length, stride = in.row_stride, extent = line_extent(seq);
  for (int64_t n = 0; n < seq; ++n) {
    const int64_t minus_n = mirror(n, seq), ahead = n + kRowsAhead < seq ? kRowsAhead * stride : 0;
    const Compute<T> w = in.weight[n], mirror_w = in.weight[minus_n];
    const T* mirror_row = in.x + minus_n * stride;
    const T* up = in.x + n * stride + m0;                  // columns m0 to m0 + 2W - 1
    const T* down = mirror_row + hidden - m0 - 2 * W + 1;  // -(m0 + 2W - 1) to -m0
    auto* point = lines + plan.entry[n];
    prefetch<1>(down + 2 * W - 1 - ahead);
    for (int64_t i = 0; i < count; ++i, up += 2 * W, down -= 2 * W, point += extent) {
      prefetch<kBytes>(up + ahead), prefetch<kBytes>(down - ahead);
      const auto near = [&]() FNET_INLINE_LAMBDA {
        if constexpr (First)
          return after(load_scalar(mirror_row[0]), reverse(load<W>(down + W - 1)));
        else
          return reverse(load<W>(down + W));
      };
      *point = {load<W>(up) * w + near() * mirror_w,
                load<W>(up + W) * w + reverse(load<W>(down)) * mirror_w};
    }
  }
}

// W columns of a row from m on, wrapping round, and their mirror columns, one by one.
template <int W, class T>
FNET_FN Lanes<Compute<T>, W> wrapped_columns(const T* row, int64_t hidden, int64_t m, bool up) {
  Compute<T> lane[W];
  m %= hidden;
  for (int i = 0; i < W; ++i, m = m + 1 < hidden ? m + 1 : 0)
    lane[i] = load_scalar(row[up ? m : mirror(m, hidden)]);
  return Lanes<Compute<T>, W>::load(lane);
}

// The same for the last blocks of a narrow x.
template <int W, class T>
void fold_wrapped(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                  int64_t m0, int64_t count, Complex<Lanes<Compute<T>, W>>* lines) {
  for (int64_t n = 0; n < plan.length; ++n) {
    const int64_t minus_n = mirror(n, plan.length);
    const auto fold = [&](int64_t m) {
      return wrapped_columns<W>(in.x + n * in.row_stride, hidden, m, true) * in.weight[n] +
             wrapped_columns<W>(in.x + minus_n * in.row_stride, hidden, m, false) *
                 in.weight[minus_n];
    };
    auto* point = lines + plan.entry[n];
    for (int64_t i = 0; i < count; ++i, point += line_extent(plan.length))
      *point = {fold(m0 + i * 2 * W), fold(m0 + i * 2 * W + W)};
  }
}

template <int W, class T>
void fold_blocks(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                 int64_t m0, int64_t count, Complex<Lanes<Compute<T>, W>>* lines) {
  if (m0 + count * 2 * W > hidden) return fold_wrapped<W>(in, plan, hidden, m0, count, lines);
  if (m0 == 0) {
    fold_straight<W, true>(in, plan, hidden, 0, 1, lines);
    m0 += 2 * W, --count, lines += line_extent(plan.length);
  }
  if (count > 0) fold_straight<W, false>(in, plan, hidden, m0, count, lines);
}

// W rows k of what `combine` makes of Z_k and Z_{-k}, turned, to `count` columns of G.
template <int W, class R, class Combine>
FNET_FN void put_columns(const LinePlan<R>& plan, const Complex<Lanes<R, W>>* line, int64_t k0,
                         bool whole, int count, R* to, const Combine& combine) {
  const int32_t* position = plan.position + k0;
  const int32_t* mirror_position = plan.position + plan.length - k0;
  Lanes<R, W> row[W];
  static_for<W>([&](auto i) FNET_INLINE_LAMBDA {
    const int64_t k = whole ? i : least<int64_t>(i, half_length(plan.length) - 1 - k0);
    row[i] = combine(line[position[k]], line[mirror_position[-k]]);
  });
  transpose(row);
  static_for<W>([&](auto c) FNET_INLINE_LAMBDA {
    if (whole || c < count) row[c].store(to + c * 2 * W);
  });
}

// Takes the transformed line apart, W rows k at a time, and turns them: lanes become rows of G.
// Real and imaginary parts of A and B one after another, so that each tile stays in registers.
template <int W, class R>
void unpack_block(const LinePlan<R>& plan, const Complex<Lanes<R, W>>* line, int64_t hidden,
                  int64_t m0, R* G) {
  using Z = Complex<Lanes<R, W>>;
  const SpectrumLayout layout{plan.length, hidden, W};
  const int64_t columns = layout.columns();
  const int in_a = int(least<int64_t>(W, columns - m0));
  const int in_b = int(least<int64_t>(W, columns - m0 - in_a));
  const auto unpack_band = [&](auto whole, int64_t band) FNET_INLINE_LAMBDA {
    R* a = G + layout.at(band, m0);
    R* b = a + 2 * W * W;
    // A long G is not in the second cache either, and stores wait for their lines as loads do.
    prefetch<2 * W * 2 * W * sizeof(R)>(a + layout.band_size());
    const auto put = [&](int count, R* to, const auto& combine) FNET_INLINE_LAMBDA {
      put_columns<W>(plan, line, band * W, whole, count, to, combine);
    };
    put(in_a, a, [](const Z& z, const Z& m) FNET_INLINE_LAMBDA { return z.re + m.re; });
    put(in_b, b + W, [](const Z& z, const Z& m) FNET_INLINE_LAMBDA { return m.re - z.re; });
    put(in_a, a + W, [](const Z& z, const Z& m) FNET_INLINE_LAMBDA { return z.im - m.im; });
    put(in_b, b, [](const Z& z, const Z& m) FNET_INLINE_LAMBDA { return z.im + m.im; });
  };
  const int64_t whole = in_b == W ? layout.rows() / W : 0;
  for (int64_t band = 0; band < whole; ++band) unpack_band(std::true_type{}, band);
  for (int64_t band = whole; band < layout.bands(); ++band) unpack_band(std::false_type{}, band);
}

// Blocks [begin, end) of columns through the transform into G; `lines` is scratch of group_size()
// lines.
template <int W, class T>
void seq_pass(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
              int64_t begin, int64_t end, Complex<Lanes<Compute<T>, W>>* lines, Compute<T>* G) {
  const int64_t group = group_size<Lanes<Compute<T>, W>>(plan.length);
  for (int64_t first = begin; first < end; first += group) {
    const int64_t count = least(group, end - first);
    fold_blocks<W>(in, plan, hidden, first * 2 * W, count, lines);
    for (int64_t i = 0; i < count; ++i) {
      Complex<Lanes<Compute<T>, W>>* line = lines + i * line_extent(plan.length);
      line_fft(plan, line);
      unpack_block<W>(plan, line, hidden, (first + i) * 2 * W, G);
    }
  }
}

}  // namespace fnet::FNET_ISA
