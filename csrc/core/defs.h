// Macros and helpers that let a host compiler and nvcc compile the same headers.
//
// FNET_FN marks the small functions of the shared mathematics. They are always inlined, for speed
// and so that each instruction set has its own copy: the linker must not merge an AVX-512 body into
// the portable path.
#pragma once

#include <type_traits>
#include <utility>

#if defined(__CUDACC__)
#define FNET_FN __host__ __device__ __forceinline__
#define FNET_INLINE_LAMBDA
#else
#define FNET_FN inline __attribute__((always_inline))
#define FNET_INLINE_LAMBDA __attribute__((always_inline))
#endif

namespace fnet {

// A compile-time constant as a function argument.
template <int I>
inline constexpr std::integral_constant<int, I> constant{};

template <class F, int... I>
FNET_FN void static_for_impl(const F& body, std::integer_sequence<int, I...>) {
  (body(std::integral_constant<int, I>{}), ...);
}

// body(0), body(1), ..., body(N - 1) with compile-time indices.
template <int N, class F>
FNET_FN void static_for(const F& body) {
  static_for_impl(body, std::make_integer_sequence<int, N>{});
}

// The smaller of two numbers. The linker would keep one copy of std::min for all instruction sets.
// Argument-dependent lookup would confuse a function named min with std::min.
template <class I>
FNET_FN constexpr I min_of(I a, I b) {
  return b < a ? b : a;
}

}  // namespace fnet
