// The general path: rows of y from the spectrum of another library's FFT.
#pragma once

#include "cpu/simd/row_epilogue.h"
#include "fft/complex.h"

namespace fnet::FNET_ISA {

// Rows k and -k from the one-sided spectrum F [seq, hidden / 2 + 1]: F[n, l] = conj(F[-n, d - l]).
template <int W, class T, class Part>
void rows_from_spectrum(const RowOutput<T>& out, const Complex<Compute<T>>* F, Part part,
                        Compute<T> scale, int64_t k, Compute<T>* r, Compute<T>* u) {
  const int64_t d = out.hidden, columns = half_length(d), minus_k = mirror(k, out.seq);
  const auto fill = [&](int64_t n, int64_t minus_n) FNET_INLINE_LAMBDA {
    const Complex<Compute<T>>* row = F + n * columns;
    const Complex<Compute<T>>* mirror_row = F + minus_n * columns;
    for (int64_t l = 0; l < columns; ++l) r[l] = part(row[l]) * scale;
    for (int64_t l = columns; l < d; ++l) r[l] = part(conj(mirror_row[d - l])) * scale;
  };
  fill(k, minus_k);
  if constexpr (Part::kEven) {
    finish_rows<W>(out, k, 1, MixedRows<Compute<T>>{r, 0}, u);
  } else {
    const auto finish = [&](int64_t n) {
      out.streams ? finish_row<W, false, true>(out, n, r, u)
                  : finish_row<W, false, false>(out, n, r, u);
    };
    finish(k);
    if (minus_k == k) return;
    fill(minus_k, k);
    finish(minus_k);
  }
}

}  // namespace fnet::FNET_ISA
