// Butterflies: Dft<R>::run(z) replaces z[0..R) by its forward DFT, z[k] <- sum_j z[j] exp(-2 pi i
// jk / R).
//
// Three rules generate them all: R = 2, an odd prime by its symmetric pairs, and a composite by
// Cooley-Tukey. T is a float, a double or a vector of lanes of any width.
#pragma once

#include "fft/roots.h"

namespace fnet {

// The factor that splits a composite radix: 4 if possible (no multiplications), else the smallest.
constexpr int split_factor(int n) {
  if (n > 4 && n % 4 == 0) return 4;
  for (int p = 2; p * p <= n; ++p)
    if (n % p == 0) return p;
  return n;
}

template <int R>
struct Dft {
  static_assert(R >= 1);
  static constexpr int kFirst = split_factor(R);

  template <class T>
  static FNET_FN void run(Complex<T> (&z)[R]) {
    if constexpr (R == 1) {
      return;
    } else if constexpr (R == 2) {
      const Complex<T> sum = z[0] + z[1];
      z[1] = z[0] - z[1];
      z[0] = sum;
    } else if constexpr (kFirst == R) {
      odd_prime(z);
    } else {
      composite(z);
    }
  }

 private:
  // With s_p = z_p + z_{R-p} and d_p = z_p - z_{R-p}, p = 1..(R-1)/2:
  //   Z_k, Z_{R-k} = z_0 + sum_p cos(2 pi pk/R) s_p  -+  i sum_p sin(2 pi pk/R) d_p.
  template <class T>
  static FNET_FN void odd_prime(Complex<T> (&z)[R]) {
    using S = Scalar<T>;
    constexpr int kPairs = (R - 1) / 2;
    Complex<T> s[kPairs], d[kPairs];
    static_for<kPairs>([&](auto i) FNET_INLINE_LAMBDA {
      s[i] = z[i + 1] + z[R - 1 - i];
      d[i] = z[i + 1] - z[R - 1 - i];
    });
    const Complex<T> z0 = z[0];
    static_for<kPairs>([&](auto i) FNET_INLINE_LAMBDA { z[0] = z[0] + s[i]; });
    static_for<kPairs>([&](auto j) FNET_INLINE_LAMBDA {
      constexpr int k = j + 1;
      Complex<T> even = z0;
      constexpr S first = S(sin_turn(k, R));
      Complex<T> odd = {d[0].re * first, d[0].im * first};
      static_for<kPairs>([&](auto i) FNET_INLINE_LAMBDA {
        constexpr S c = S(cos_turn((i + 1) * k, R)), q = S(sin_turn((i + 1) * k, R));
        even = {even.re + s[i].re * c, even.im + s[i].im * c};
        if constexpr (i > 0) odd = {odd.re + d[i].re * q, odd.im + d[i].im * q};
      });
      z[k] = {even.re + odd.im, even.im - odd.re};
      z[R - k] = {even.re - odd.im, even.im + odd.re};
    });
  }

  // R = A B, j = B a + b, k = p + A q:  Z_k = sum_b w_R^{bp} w_B^{bq} sum_a w_A^{ap} z_{Ba+b}.
  template <class T>
  static FNET_FN void composite(Complex<T> (&z)[R]) {
    constexpr int A = kFirst, B = R / A;
    Complex<T> y[A][B];
    static_for<B>([&](auto b) FNET_INLINE_LAMBDA {
      Complex<T> column[A];
      static_for<A>([&](auto a) FNET_INLINE_LAMBDA { column[a] = z[B * a + b]; });
      Dft<A>::run(column);
      static_for<A>([&](auto p) FNET_INLINE_LAMBDA { y[p][b] = mul_root<b * p, R>(column[p]); });
    });
    static_for<A>([&](auto p) FNET_INLINE_LAMBDA {
      Dft<B>::run(y[p]);
      static_for<B>([&](auto q) FNET_INLINE_LAMBDA { z[p + A * q] = y[p][q]; });
    });
  }
};

}  // namespace fnet
