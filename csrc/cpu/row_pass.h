// Second pass, G -> y: the transform along hidden for 2 W rows of G, then the epilogue for 4 W rows of y.
//
// Lanes are rows. With H[m] = G[m] for m <= d/2 and conj G[d - m] above, r = DFT(H) is real: the inverse
// transform of conj G. Two bands a and b of W rows travel as one complex line H_a + i H_b -> r_a + i r_b.
#pragma once

#include "cpu/line_fft.h"
#include "cpu/row_epilogue.h"
#include "cpu/spectrum.h"
#include "cpu/transpose.h"

namespace fnet::FNET_ISA {

// Transposes one part of the transformed line (get picks re or im) into W rows of r.
template <int W, class R, class Get>
FNET_FN void rows_from_line(const LinePlan<R>& plan, const Complex<Lanes<R, W>>* line,
                            const MixedRows<R>& rows, int64_t first_row, const Get& get) {
  for (int64_t l = 0; l < plan.length; l += W) {
    Lanes<R, W> tile[W];
    static_for<W>([&](auto i) FNET_INLINE_LAMBDA {
      tile[i] = get(line[plan.position[least(l + i, plan.length - 1)]]);
    });
    transpose(tile);
    static_for<W>([&](auto i) FNET_INLINE_LAMBDA { tile[i].store(rows.row(first_row + i) + l); });
  }
}

// Bands band and band + 1 of G, where they exist. `line` holds hidden complex lanes; rows 2 W rows of r.
template <int W, class T>
void row_block(const RowOutput<T>& out, const LinePlan<Compute<T>>& plan, const Compute<T>* G,
               int64_t band, Complex<Lanes<Compute<T>, W>>* line, const MixedRows<Compute<T>>& rows,
               Compute<T>* u) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  const int64_t d = plan.length;
  const SpectrumLayout layout{out.seq, d, W};
  const bool has_b = band + 1 < layout.bands();
  const R* a = G + layout.at(band, 0);
  const R* b = G + layout.at(has_b ? band + 1 : band, 0);

  line_fft<V>(plan, line, [&](int64_t m) FNET_INLINE_LAMBDA {
    const bool above = 2 * m > d;
    const int64_t at = 2 * W * (above ? d - m : m);
    const V a_re = V::load(a + at), a_im = V::load(a + at + W);
    const V b_re = V::load(b + at), b_im = V::load(b + at + W);
    return above ? Complex<V>{a_re + b_im, b_re - a_im} : Complex<V>{a_re - b_im, a_im + b_re};
  });

  rows_from_line<W>(plan, line, rows, 0, [](const Complex<V>& z) FNET_INLINE_LAMBDA { return z.re; });
  if (has_b)
    rows_from_line<W>(plan, line, rows, W,
                      [](const Complex<V>& z) FNET_INLINE_LAMBDA { return z.im; });

  const int64_t k0 = band * W, count = least<int64_t>(2 * W, layout.rows() - k0);
  for (int64_t i = 0; i < count; ++i) finish_row_pair<W>(out, k0 + i, rows.row(i), u);
}

// The general path: rows k and -k from the one-sided spectrum F [seq, hidden / 2 + 1] of a library's FFT.
template <int W, class T>
void row_from_spectrum(const RowOutput<T>& out, const Complex<Compute<T>>* F, Compute<T> scale,
                       int64_t k, Compute<T>* r, Compute<T>* u) {
  const int64_t d = out.hidden, columns = half_length(d);
  const Complex<Compute<T>>* row = F + k * columns;
  const Complex<Compute<T>>* mirror_row = F + mirror(k, out.seq) * columns;
  for (int64_t l = 0; l < columns; ++l) r[l] = row[l].re * scale;
  for (int64_t l = columns; l < d; ++l) r[l] = mirror_row[d - l].re * scale;
  finish_row_pair<W>(out, k, r, u);
}

}  // namespace fnet::FNET_ISA
