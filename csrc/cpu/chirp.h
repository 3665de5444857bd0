// The tables of convolutions for Rader's and Bluestein's algorithms; see line_plan.h.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/wide_dft.h"

namespace fnet {

// w^(i^2/2) for i < count <= size and 0 up to `size`, where w = exp(-2 pi i / length).
template <class W>
std::vector<Complex<W>> chirp(int64_t length, int64_t count, int64_t size) {
  std::vector<Complex<W>> c(size);
  for (int64_t i = 0; i < count; ++i)  // (2 length - i)^2 = i^2 modulo 2 length
    c[i] = i > length ? c[2 * length - i] : wide_root<W>(i * i % (2 * length), 2 * length);
  return c;
}

// sum_i c_i exp(2 pi i ik / M) / M at k < M, the spectrum that multiplies the DFT of the points.
template <class W>
std::vector<Complex<W>> convolution_spectrum(const std::vector<Complex<W>>& c,
                                             const std::vector<Complex<W>>& roots) {
  std::vector<Complex<W>> spectrum = wide_dft(c, roots);
  std::reverse(spectrum.begin() + 1, spectrum.end());
  for (Complex<W>& value : spectrum) value = {value.re / W(c.size()), value.im / W(c.size())};
  return spectrum;
}

}  // namespace fnet
