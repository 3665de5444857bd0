// The second pass, from G to y: the transform along hidden for 2 W rows of G, then the epilogue for
// 4 W rows of y.
//
// Lanes are rows. With H[m] = G[m] for m <= d/2 and conj G[d - m] above, r = DFT(H) is real: the
// inverse transform of conj G. Two bands a and b of W rows form one complex line H_a + i H_b, whose
// transform is r_a + i r_b.
#pragma once

#include "cpu/caches.h"
#include "cpu/simd/line_fft.h"
#include "cpu/simd/prefetch.h"
#include "cpu/simd/row_epilogue.h"
#include "cpu/simd/transpose.h"
#include "cpu/spectrum.h"

namespace fnet::FNET_ISA {

// Transposes one part of the transformed line, selected by `get` (re or im), into W rows of r.
template <int W, class R, class Get>
FNET_FN void rows_from_line(const LinePlan<R>& plan, const Complex<Lanes<R, W>>* line,
                            const MixedRows<R>& rows, int64_t first_row, const Get& get) {
  const auto put = [&](int64_t l, auto whole) FNET_INLINE_LAMBDA {
    Lanes<R, W> tile[W];
    static_for<W>([&](auto i) FNET_INLINE_LAMBDA {
      tile[i] = get(line[plan.position[whole ? l + i : min_of(l + i, plan.length - 1)]]);
    });
    transpose(tile);
    static_for<W>([&](auto i) FNET_INLINE_LAMBDA { tile[i].store(rows.row(first_row + i) + l); });
  };
  int64_t l = 0;
  for (; l + W <= plan.length; l += W) put(l, std::true_type{});
  if (l < plan.length) put(l, std::false_type{});
}

// Sets point m of the line to H_a[m] + i H_b[m] for bands a and b of G, for all m < hidden. Calls
// meanwhile(m) for m = 0 .. hidden / 2.
template <int W, class R, class Meanwhile>
void pack_bands(const LinePlan<R>& plan, const R* a, const R* b, Complex<Lanes<R, W>>* line,
                const Meanwhile& meanwhile) {
  using V = Lanes<R, W>;
  for (int64_t m = 0; 2 * m <= plan.length; ++m, a += 2 * W, b += 2 * W) {
    meanwhile(m);
    const V a_re = V::load(a), a_im = V::load(a + W), b_re = V::load(b), b_im = V::load(b + W);
    if (m > 0)
      line[plan.entry[plan.length - m]] = {a_re + b_im, b_re - a_im};  // conj H_a + i conj H_b
    line[plan.entry[m]] = {a_re - b_im, a_im + b_re};
  }
}

// Computes the rows of r for bands `band` and, if it exists, `band + 1` of G. `line` is scratch of
// plan.extent elements.
template <int W, class R, class Meanwhile>
void transform_rows(const LinePlan<R>& plan, const SpectrumLayout& layout, const R* G, int64_t band,
                    Complex<Lanes<R, W>>* line, const MixedRows<R>& rows,
                    const Meanwhile& meanwhile) {
  using V = Lanes<R, W>;
  const bool has_b = band + 1 < layout.bands();
  pack_bands<W>(plan, G + layout.at(band, 0), G + layout.at(has_b ? band + 1 : band, 0), line,
                meanwhile);
  line_fft(plan, line);
  rows_from_line<W>(plan, line, rows, 0,
                    [](const Complex<V>& z) FNET_INLINE_LAMBDA { return z.re; });
  if (has_b)
    rows_from_line<W>(plan, line, rows, W,
                      [](const Complex<V>& z) FNET_INLINE_LAMBDA { return z.im; });
}

// One tile: 2 W rows of r and the 4 W rows of y that follow from them. u is scratch of one row.
template <int W, class T>
void row_tile(const RowOutput<T>& out, const LinePlan<Compute<T>>& plan, const Compute<T>* G,
              int64_t band, Complex<Lanes<Compute<T>, W>>* line, const MixedRows<Compute<T>>& rows,
              Compute<T>* u) {
  const SpectrumLayout layout{out.seq, out.hidden, W};
  const int64_t k0 = band * W, count = min_of<int64_t>(2 * W, layout.rows() - k0);
  // Meanwhile, prefetch the rows of x that the epilogue adds: k0 to k0 + 2W - 1 and their mirrors.
  // If the spectrum exceeds L2, the loads of the spectrum would wait for these prefetches.
  const bool prefetches =
      out.epilogue != Epilogue::kMix && layout.size() * int64_t(sizeof(Compute<T>)) <= l2_bytes();
  const T* up = prefetches ? out.x + k0 * out.row_stride : nullptr;
  const T* down = prefetches ? out.x + (out.seq - k0 - 2 * W + 1) * out.row_stride : nullptr;
  transform_rows<W>(plan, layout, G, band, line, rows, [&](int64_t m) FNET_INLINE_LAMBDA {
    if (!prefetches) return;
    prefetch<4 * W * sizeof(T)>(up + m * 4 * W);
    prefetch<4 * W * sizeof(T)>(down + m * 4 * W);
  });
  finish_rows<W>(out, k0, count, rows, u);
}

}  // namespace fnet::FNET_ISA
