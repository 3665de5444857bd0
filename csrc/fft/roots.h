// Roots of unity at compile time: cos and sin of 2 pi p / q, computed in long double, rounded once.
#pragma once

#include "fft/complex.h"

namespace fnet {

namespace detail {

inline constexpr long double kPi = 3.14159265358979323846264338327950288L;

// Taylor series; |x| <= pi / 4 needs 12 terms.
constexpr double sin_series(long double x) {
  long double term = x, sum = x;
  for (int i = 1; i < 12; ++i) sum += term *= -x * x / ((2 * i) * (2 * i + 1));
  return double(sum);
}

constexpr double cos_series(long double x) {
  long double term = 1, sum = 1;
  for (int i = 1; i < 12; ++i) sum += term *= -x * x / ((2 * i - 1) * (2 * i));
  return double(sum);
}

}  // namespace detail

// cos(2 pi p / q), by symmetry from an angle in [0, pi / 4].
constexpr double cos_turn(int p, int q) {
  p %= q;
  if (p < 0) p += q;
  if (2 * p > q) p = q - p;                           // cos(-a) = cos(a)
  if (4 * p > q) return -cos_turn(q - 2 * p, 2 * q);  // cos(pi - a) = -cos(a)
  if (8 * p > q) return detail::sin_series(2 * detail::kPi * (q - 4 * p) / (4 * q));
  return detail::cos_series(2 * detail::kPi * p / q);
}

// sin(a) = cos(a - pi / 2).
constexpr double sin_turn(int p, int q) { return cos_turn(4 * p - q, 4 * q); }

// z * exp(-2 pi i P / Q). Multiples of pi / 4 avoid the general product.
template <int P, int Q, class T>
FNET_FN Complex<T> mul_root(Complex<T> z) {
  using S = Scalar<T>;
  constexpr int p = P % Q;
  if constexpr (p == 0) {
    return z;
  } else if constexpr (2 * p == Q) {
    return {-z.re, -z.im};
  } else if constexpr (4 * p == Q) {
    return mul_minus_i(z);
  } else if constexpr (4 * p == 3 * Q) {
    return {-z.im, z.re};
  } else if constexpr (8 * p == Q) {
    constexpr S h = S(cos_turn(1, 8));
    return {(z.re + z.im) * h, (z.im - z.re) * h};
  } else if constexpr (8 * p == 3 * Q) {
    constexpr S h = S(cos_turn(1, 8));
    return {(z.im - z.re) * h, (z.re + z.im) * (-h)};
  } else {
    constexpr S c = S(cos_turn(p, Q)), s = S(-sin_turn(p, Q));
    return z * Complex<S>{c, s};
  }
}

}  // namespace fnet
