// The DFT for tables, in the precision that they are computed in: any length, fast if its prime
// factors are small.
#pragma once

#include <vector>

#include "cpu/twiddle.h"

namespace fnet {

// exp(-2 pi i k / n) for k < n.
template <class W>
std::vector<Complex<W>> wide_roots(int64_t n) {
  std::vector<Complex<W>> root(n);
  for (int64_t k = 0; 2 * k <= n; ++k) {
    root[k] = wide_root<W>(k, n);
    if (k > 0) root[n - k] = conj(root[k]);
  }
  return root;
}

namespace detail {

// out[0..n) <- DFT of in[0], in[stride], ...; root[k] = exp(-2 pi i k / (n stride)).
template <class W>
void wide_dft(const Complex<W>* in, int64_t n, int64_t stride, const Complex<W>* root,
              Complex<W>* out) {
  if (n == 1) {
    *out = *in;
    return;
  }
  int64_t p = 2;
  while (n % p != 0) p = p * p < n ? p + 1 : n;
  const int64_t rest = n / p;
  for (int64_t q = 0; q < p; ++q) wide_dft(in + q * stride, rest, stride * p, root, out + q * rest);
  if (p == 2) {
    for (int64_t j = 0; j < rest; ++j) {
      const Complex<W> even = out[j], odd = out[j + rest] * root[j * stride];
      out[j] = even + odd, out[j + rest] = even - odd;
    }
    return;
  }
  std::vector<Complex<W>> column(p);
  for (int64_t j = 0; j < rest; ++j) {
    for (int64_t q = 0; q < p; ++q) column[q] = out[j + q * rest] * root[q * j * stride];
    for (int64_t k = 0; k < p; ++k) {
      Complex<W> sum = column[0];
      for (int64_t q = 1; q < p; ++q) sum = sum + column[q] * root[q * k % p * rest * stride];
      out[j + k * rest] = sum;
    }
  }
}

}  // namespace detail

// The DFT of in; roots = wide_roots(in.size()).
template <class W>
std::vector<Complex<W>> wide_dft(const std::vector<Complex<W>>& in,
                                 const std::vector<Complex<W>>& roots) {
  std::vector<Complex<W>> out(in.size());
  detail::wide_dft(in.data(), int64_t(in.size()), 1, roots.data(), out.data());
  return out;
}

}  // namespace fnet
