// Lanes<R, W>: W numbers that undergo the same operations, one from each of W transforms. The
// vector extension of GCC and Clang compiles them to SSE, AVX2, AVX-512 or NEON registers, without
// intrinsics.
//
// Everything in namespace FNET_ISA is compiled once per instruction set (kernels_*.cpp defines it).
#pragma once

#include <cstdint>
#include <cstring>

#include "fft/complex.h"

namespace fnet::FNET_ISA {

template <class R, int W>
struct Lanes {
  typedef R Vector __attribute__((vector_size(sizeof(R) * W)));
  // The vector in memory, aligned like one number. memcpy instead would make the compiler assume
  // aliasing and reload every pointer and length after each store.
  typedef R InMemory __attribute__((vector_size(sizeof(R) * W), aligned(alignof(R))));
  static constexpr int kWidth = W;
  using Real = R;
  Vector v;

  static FNET_FN Lanes load(const R* p) { return {*reinterpret_cast<const InMemory*>(p)}; }
  FNET_FN void store(R* p) const { *reinterpret_cast<InMemory*>(p) = v; }
  static FNET_FN Lanes broadcast(R s) { return {Vector{} + s}; }

  friend FNET_FN Lanes operator+(Lanes a, Lanes b) { return {a.v + b.v}; }
  friend FNET_FN Lanes operator-(Lanes a, Lanes b) { return {a.v - b.v}; }
  friend FNET_FN Lanes operator*(Lanes a, Lanes b) { return {a.v * b.v}; }
  friend FNET_FN Lanes operator-(Lanes a, R s) { return {a.v - s}; }
  friend FNET_FN Lanes operator*(Lanes a, R s) { return {a.v * s}; }
  friend FNET_FN Lanes operator/(Lanes a, R s) { return {a.v / s}; }
  friend FNET_FN Lanes& operator+=(Lanes& a, Lanes b) { return a = a + b; }
  friend FNET_FN Lanes operator-(Lanes a) { return {-a.v}; }
};

// Lanes of a and b chosen by compile-time index: 0..W-1 from a, W..2W-1 from b.
template <int... Index, class R, int W>
FNET_FN Lanes<R, W> shuffle(Lanes<R, W> a, Lanes<R, W> b) {
#if defined(__clang__) || __GNUC__ >= 12
  return {__builtin_shufflevector(a.v, b.v, Index...)};
#else
  using I = std::conditional_t<sizeof(R) == 4, int32_t, int64_t>;
  typedef I Mask __attribute__((vector_size(sizeof(R) * W)));
  return {__builtin_shuffle(a.v, b.v, Mask{Index...})};
#endif
}

template <class R, int W, int... I>
FNET_FN Lanes<R, W> reverse_impl(Lanes<R, W> a, std::integer_sequence<int, I...>) {
  return shuffle<(W - 1 - I)...>(a, a);
}

// The lanes in reverse order.
template <class R, int W>
FNET_FN Lanes<R, W> reverse(Lanes<R, W> a) {
  return reverse_impl(a, std::make_integer_sequence<int, W>{});
}

template <class R, int W, int... I>
FNET_FN Lanes<R, W> after_impl(R s, Lanes<R, W> a, std::integer_sequence<int, I...>) {
  return shuffle<(I == 0 ? 0 : W + I - 1)...>(Lanes<R, W>::broadcast(s), a);
}

// s followed by all lanes of a except the last.
template <class R, int W>
FNET_FN Lanes<R, W> after(R s, Lanes<R, W> a) {
  return after_impl(s, a, std::make_integer_sequence<int, W>{});
}

// The sum of the lanes, always in the same order: by halves.
template <class R, int W>
FNET_FN R sum_lanes(Lanes<R, W> a) {
  R lane[W];
  a.store(lane);
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
  return lane[0];
}

}  // namespace fnet::FNET_ISA

namespace fnet {
template <class R, int W>
struct ScalarOf<FNET_ISA::Lanes<R, W>> {
  using type = R;
};
}  // namespace fnet
