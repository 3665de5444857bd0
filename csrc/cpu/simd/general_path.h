// The general path: rows of y from the spectrum of another library's FFT.
#pragma once

#include "cpu/simd/row_epilogue.h"
#include "fft/complex.h"

namespace fnet::FNET_ISA {

// Rows k and -k from the one-sided spectrum F [seq, hidden / 2 + 1].
template <int W, class T>
void row_from_spectrum(const RowOutput<T>& out, const Complex<Compute<T>>* F, Compute<T> scale,
                       int64_t k, Compute<T>* r, Compute<T>* u) {
  const int64_t d = out.hidden, columns = half_length(d);
  const Complex<Compute<T>>* row = F + k * columns;
  const Complex<Compute<T>>* mirror_row = F + mirror(k, out.seq) * columns;
  for (int64_t l = 0; l < columns; ++l) r[l] = row[l].re * scale;
  for (int64_t l = columns; l < d; ++l) r[l] = mirror_row[d - l].re * scale;
  finish_rows<W>(out, k, 1, MixedRows<Compute<T>>{r, 0}, u);
}

}  // namespace fnet::FNET_ISA
