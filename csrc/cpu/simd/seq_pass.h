// The first pass, from x to G: the fold, then the transform along seq, for tiles of 2 W columns or
// parts of them (tiles.h).
//
// Lanes are columns. Two groups of W real columns a and b form one complex line z = a + i b. After
// the transform  A_k = (Z_k + conj Z_{-k}) / 2  and  B_k = (Z_k - conj Z_{-k}) / 2i.
#pragma once

#include "cpu/caches.h"
#include "cpu/simd/fold.h"
#include "cpu/simd/line_fft.h"
#include "cpu/simd/tiles.h"
#include "cpu/simd/transpose.h"
#include "cpu/spectrum.h"

namespace fnet::FNET_ISA {

// The fold takes neighbouring tiles together, to read longer runs of the rows of x: up to this many
// columns, and while the lines fit in a quarter of L2. Longer runs would read x even faster, but
// their lines would not stay in L2.
constexpr int64_t kRunColumns = 32;

template <class V>
FNET_FN int64_t group_size(int64_t extent) {
  const int64_t fitting = l2_bytes() / 4 / (extent * int64_t(sizeof(Complex<V>)));
  return fitting < 1 ? 1 : min_of(fitting, kRunColumns / (2 * V::kWidth));
}

// Writes combine(Z_k, Z_{-k}) for V rows k, transposed, to `count` columns of G, `pitch` apart.
template <int V, class R, class Combine>
FNET_FN void put_columns(const LinePlan<R>& plan, const Complex<Lanes<R, V>>* line, int64_t k0,
                         bool whole, int count, R* to, int64_t pitch, const Combine& combine) {
  const int32_t* position = plan.position + k0;
  const int32_t* mirror_position = plan.position + plan.length - k0;
  Lanes<R, V> row[V];
  static_for<V>([&](auto i) FNET_INLINE_LAMBDA {
    const int64_t k = whole ? i : min_of<int64_t>(i, half_length(plan.length) - 1 - k0);
    row[i] = combine(line[position[k]], line[mirror_position[-k]]);
  });
  transpose(row);
  static_for<V>([&](auto c) FNET_INLINE_LAMBDA {
    if (whole || c < count) row[c].store(to + c * pitch);
  });
}

// Writes Z_{N/2}, which holds the real row N/2 of A and of B, to the imaginary parts of row 0.
template <int W, int V, class R>
void put_last_row(const Complex<Lanes<R, V>>& z, int in_a, int in_b, R* row0) {
  R a[V], b[V];
  (z.re + z.re).store(a);
  (z.im + z.im).store(b);
  R* im = row0 + W;
  for (int c = 0; c < in_a; ++c) im[c * 2 * W] = a[c];
  for (int c = 0; c < in_b; ++c) im[(W + c) * 2 * W] = b[c];
}

// Unpacks the transformed line of columns m0 .. and m0 + W .., V rows k at a time, and transposes
// it: lanes become rows of G. Real and imaginary parts of A and B are four separate tiles, each of
// which stays in registers.
template <int W, int V, class R>
void unpack_tile(const LinePlan<R>& plan, const Complex<Lanes<R, V>>* line, int64_t hidden,
                 int64_t m0, R* G) {
  using Z = Complex<Lanes<R, V>>;
  const SpectrumLayout layout{plan.length, hidden, W};
  const auto columns_from = [&](int64_t m) {
    return m < layout.columns() ? int(min_of<int64_t>(V, layout.columns() - m)) : 0;
  };
  const int in_a = columns_from(m0), in_b = columns_from(m0 + W);
  const auto unpack_rows = [&](auto whole, int64_t k0) FNET_INLINE_LAMBDA {
    R* a = G + layout.at(k0 / W, m0) + k0 % W;
    R* b = a + 2 * W * W;
    // A large G does not fit in L2, and stores wait for their cache lines as loads do.
    if (k0 % W == 0) {
      prefetch<V * 2 * W * sizeof(R)>(a + layout.band_size());
      prefetch<V * 2 * W * sizeof(R)>(b + layout.band_size());
    }
    const auto put = [&](int count, R* to, const auto& combine) FNET_INLINE_LAMBDA {
      put_columns<V>(plan, line, k0, whole, count, to, 2 * W, combine);
    };
    put(in_a, a, [](const Z& z, const Z& m) FNET_INLINE_LAMBDA { return z.re + m.re; });
    put(in_b, b + W, [](const Z& z, const Z& m) FNET_INLINE_LAMBDA { return m.re - z.re; });
    put(in_a, a + W, [](const Z& z, const Z& m) FNET_INLINE_LAMBDA { return z.im - m.im; });
    put(in_b, b, [](const Z& z, const Z& m) FNET_INLINE_LAMBDA { return z.im + m.im; });
  };
  const int64_t rows = layout.bands() * W;
  const int64_t whole = in_b == V ? min_of(layout.rows(), rows) / V * V : 0;
  for (int64_t k0 = 0; k0 < whole; k0 += V) unpack_rows(std::true_type{}, k0);
  for (int64_t k0 = whole; k0 < rows; k0 += V) unpack_rows(std::false_type{}, k0);
  if (layout.packs_last_row())
    put_last_row<W>(line[plan.position[plan.length / 2]], in_a, in_b, G + layout.at(0, m0));
}

// Transforms tiles [begin, end) of columns to G, up to `group` neighbours together. A tile of V < W
// lanes is a part of a tile of W lanes, with the same pairs of columns, and is its own group.
// `lines` is scratch of `group` lines.
template <int W, int V, class T>
void seq_pass(const InputRows<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
              int64_t begin, int64_t end, int64_t group, Complex<Lanes<Compute<T>, V>>* lines,
              Compute<T>* G) {
  for (int64_t tile = begin; tile < end; tile += group) {
    const int64_t count = min_of(group, end - tile), m0 = tile_start<W, V>(tile);
    fold_tiles<W, V>(in, plan, hidden, m0, count, lines);
    for (int64_t i = 0; i < count; ++i) {
      Complex<Lanes<Compute<T>, V>>* line = lines + i * plan.extent;
      line_fft(plan, line);
      unpack_tile<W, V>(plan, line, hidden, m0 + i * 2 * W, G);
    }
  }
}

}  // namespace fnet::FNET_ISA
