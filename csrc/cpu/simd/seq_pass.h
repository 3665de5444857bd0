// The first pass, from x to G: the fold, then the transform along seq, for tiles of 2 W columns.
//
// Lanes are columns. Two groups of W real columns a and b form one complex line z = a + i b. After
// the transform  A_k = (Z_k + conj Z_{-k}) / 2  and  B_k = (Z_k - conj Z_{-k}) / 2i.
#pragma once

#include "cpu/caches.h"
#include "cpu/simd/fold.h"
#include "cpu/simd/line_fft.h"
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

// Writes combine(Z_k, Z_{-k}) for W rows k, transposed, to `count` columns of G.
template <int W, class R, class Combine>
FNET_FN void put_columns(const LinePlan<R>& plan, const Complex<Lanes<R, W>>* line, int64_t k0,
                         bool whole, int count, R* to, const Combine& combine) {
  const int32_t* position = plan.position + k0;
  const int32_t* mirror_position = plan.position + plan.length - k0;
  Lanes<R, W> row[W];
  static_for<W>([&](auto i) FNET_INLINE_LAMBDA {
    const int64_t k = whole ? i : min_of<int64_t>(i, half_length(plan.length) - 1 - k0);
    row[i] = combine(line[position[k]], line[mirror_position[-k]]);
  });
  transpose(row);
  static_for<W>([&](auto c) FNET_INLINE_LAMBDA {
    if (whole || c < count) row[c].store(to + c * 2 * W);
  });
}

// Unpacks the transformed line, W rows k at a time, and transposes it: lanes become rows of G. Real
// and imaginary parts of A and B are four separate tiles, each of which stays in registers.
template <int W, class R>
void unpack_tile(const LinePlan<R>& plan, const Complex<Lanes<R, W>>* line, int64_t hidden,
                 int64_t m0, R* G) {
  using Z = Complex<Lanes<R, W>>;
  const SpectrumLayout layout{plan.length, hidden, W};
  const int64_t columns = layout.columns();
  const int in_a = int(min_of<int64_t>(W, columns - m0));
  const int in_b = int(min_of<int64_t>(W, columns - m0 - in_a));
  const auto unpack_band = [&](auto whole, int64_t band) FNET_INLINE_LAMBDA {
    R* a = G + layout.at(band, m0);
    R* b = a + 2 * W * W;
    // A large G does not fit in L2, and stores wait for their cache lines as loads do.
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

// Transforms tiles [begin, end) of columns to G. `lines` is scratch of group_size() lines.
template <int W, class T>
void seq_pass(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
              int64_t begin, int64_t end, Complex<Lanes<Compute<T>, W>>* lines, Compute<T>* G) {
  const int64_t group = group_size<Lanes<Compute<T>, W>>(plan.extent);
  for (int64_t tile = begin; tile < end; tile += group) {
    const int64_t count = min_of(group, end - tile);
    fold_tiles<W>(in, plan, hidden, tile * 2 * W, count, lines);
    for (int64_t i = 0; i < count; ++i) {
      Complex<Lanes<Compute<T>, W>>* line = lines + i * plan.extent;
      line_fft(plan, line);
      unpack_tile<W>(plan, line, hidden, (tile + i) * 2 * W, G);
    }
  }
}

}  // namespace fnet::FNET_ISA
