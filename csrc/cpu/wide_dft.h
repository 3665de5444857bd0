// The DFT in long double, for tables: any length, fast if its prime factors are small.
#pragma once

#include <vector>

#include "cpu/twiddle.h"

namespace fnet {

using LongComplex = Complex<long double>;

namespace detail {

// out[0..n) <- DFT of in[0], in[stride], ...; root[i] = exp(-2 pi i i / (n stride)).
inline void long_dft(const LongComplex* in, int64_t n, int64_t stride, const LongComplex* root,
                     LongComplex* out) {
  if (n == 1) {
    *out = *in;
    return;
  }
  int64_t p = 2;
  while (n % p != 0) p = p * p < n ? p + 1 : n;
  const int64_t rest = n / p;
  for (int64_t q = 0; q < p; ++q) long_dft(in + q * stride, rest, stride * p, root, out + q * rest);
  std::vector<LongComplex> column(p);
  for (int64_t j = 0; j < rest; ++j) {
    for (int64_t q = 0; q < p; ++q) column[q] = out[j + q * rest];
    for (int64_t k = j; k < n; k += rest) {
      LongComplex sum = column[0];
      for (int64_t q = 1; q < p; ++q) sum = sum + column[q] * root[q * k % n * stride];
      out[k] = sum;
    }
  }
}

}  // namespace detail

inline std::vector<LongComplex> long_dft(const std::vector<LongComplex>& in) {
  const int64_t n = int64_t(in.size());
  std::vector<LongComplex> root(n), out(n);
  for (int64_t i = 0; i < n; ++i) root[i] = unit_root<long double>(i, n);
  detail::long_dft(in.data(), n, 1, root.data(), out.data());
  return out;
}

}  // namespace fnet
