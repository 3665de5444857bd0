// The tables of convolutions for Rader's and Bluestein's algorithms; see line_plan.h.
#pragma once

#include <vector>

#include "cpu/wide_dft.h"
#include "fft/mirror.h"

namespace fnet {

// w^(i^2/2) for i < count <= size and 0 up to `size`, where w = exp(-2 pi i / length).
template <class W>
std::vector<Complex<W>> chirp(int64_t length, int64_t count, int64_t size) {
  const std::vector<Complex<W>> root = wide_roots<W>(2 * length);
  std::vector<Complex<W>> c(size);
  for (int64_t i = 0; i < count; ++i) c[i] = root[i * i % (2 * length)];
  return c;
}

// sum_i c_i exp(2 pi i ik / M) / M at k < M, the spectrum that multiplies the DFT of the points.
template <class W>
std::vector<Complex<W>> convolution_spectrum(const std::vector<Complex<W>>& c,
                                             const std::vector<Complex<W>>& roots) {
  const int64_t M = int64_t(c.size());
  const std::vector<Complex<W>> dft = wide_dft(c, roots);
  std::vector<Complex<W>> spectrum(M);
  for (int64_t k = 0; k < M; ++k) spectrum[k] = dft[mirror(k, M)] * Complex<W>{W(1) / W(M), 0};
  return spectrum;
}

}  // namespace fnet
