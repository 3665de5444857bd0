// Complex numbers over any T with + - and multiplication by its scalar: a float, a double, a CUDA
// thread's register, or a vector of lanes that holds one number of each of several transforms.
#pragma once

#include "core/defs.h"

namespace fnet {

// The scalar type behind T; lane types specialise it.
template <class T>
struct ScalarOf {
  using type = T;
};
template <class T>
using Scalar = typename ScalarOf<T>::type;

template <class T>
struct Complex {
  T re, im;
};

template <class T>
FNET_FN Complex<T> operator+(Complex<T> a, Complex<T> b) {
  return {a.re + b.re, a.im + b.im};
}

template <class T>
FNET_FN Complex<T> operator-(Complex<T> a, Complex<T> b) {
  return {a.re - b.re, a.im - b.im};
}

// a * w; T may be lanes while w is one scalar root for all of them.
template <class T, class S>
FNET_FN Complex<T> operator*(Complex<T> a, Complex<S> w) {
  return {a.re * w.re - a.im * w.im, a.re * w.im + a.im * w.re};
}

template <class T>
FNET_FN Complex<T> conj(Complex<T> a) {
  return {a.re, -a.im};
}

// a + i b.
template <class T>
FNET_FN Complex<T> plus_i(Complex<T> a, Complex<T> b) {
  return {a.re - b.im, a.im + b.re};
}

// -i a.
template <class T>
FNET_FN Complex<T> mul_minus_i(Complex<T> a) {
  return {a.im, -a.re};
}

}  // namespace fnet
