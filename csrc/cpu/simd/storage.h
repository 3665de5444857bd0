// Between tensors and lanes: load and store W elements of storage type T as Lanes<Compute<T>, W>.
//
// The few intrinsics of x86 go by FNET_WIDTH32, the floats in a register of this instruction set
// (8: AVX2 with F16C, 16: AVX-512), because a target pragma does not define the compiler's own
// macros everywhere. Every aarch64 processor converts float16; kernels_neon_bf16.cpp defines
// FNET_BFCVT for those that convert to bfloat16 as well.
#pragma once

#include "core/dtype.h"
#include "cpu/simd/lanes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace fnet::FNET_ISA {

template <class I, int W>
struct IntVector {
  typedef I type __attribute__((vector_size(sizeof(I) * W)));
};

// Whether this instruction set has an instruction that converts W half-precision numbers.
template <int W>
inline constexpr bool kHardwareHalf =
#if FNET_WIDTH32 >= 16
    W == 16 || W == 8;
#elif FNET_WIDTH32 >= 8
    W == 8;
#elif defined(__aarch64__)
    W == 4;
#else
    false;
#endif

template <int W, class R>
FNET_FN Lanes<R, W> load(const R* p) {
  return Lanes<R, W>::load(p);
}

// bfloat16 is the upper half of float32. GCC compiles the plain conversion to five instructions on
// AVX2; the intrinsic is one.
template <int W>
FNET_FN Lanes<float, W> load(const BFloat16* p) {
  using V = typename Lanes<float, W>::Vector;
  using U = typename IntVector<uint32_t, W>::type;
#if FNET_WIDTH32 >= 16
  if constexpr (W == 16)
    return {(V)((U)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)) << 16)};
#endif
#if FNET_WIDTH32 >= 8
  if constexpr (W == 8)
    return {(V)((U)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)) << 16)};
#endif
  typename IntVector<uint16_t, W>::type narrow;
  memcpy(&narrow, p, sizeof(narrow));
  return {(V)(__builtin_convertvector(narrow, U) << 16)};
}

template <int W>
FNET_FN Lanes<float, W> load(const Float16* p) {
#if FNET_WIDTH32 >= 16
  if constexpr (W == 16)
    return {
        (typename Lanes<float, W>::Vector)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))};
#endif
#if FNET_WIDTH32 >= 8
  if constexpr (W == 8)
    return {(typename Lanes<float, W>::Vector)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p))};
#endif
#if defined(__aarch64__)
  if constexpr (W == 4) {
    float16x4_t half;
    memcpy(&half, p, sizeof(half));
    return {vcvt_f32_f16(half)};
  }
#endif
  float lane[W];
  for (int i = 0; i < W; ++i) lane[i] = load_scalar(p[i]);
  return Lanes<float, W>::load(lane);
}

// The lanes of a, rounded to T, as the bits to store.
template <class T, int W, class R>
FNET_FN auto stored(Lanes<R, W> a) {
  using U = typename IntVector<uint32_t, W>::type;
  if constexpr (std::is_same_v<T, BFloat16>) {
#if defined(FNET_BFCVT)  // GCC's intrinsic needs a later architecture than FEAT_BF16 alone
    if constexpr (W == 4) {
      typename IntVector<uint16_t, W>::type bits;
      asm("bfcvtn %0.4h, %1.4s" : "=w"(bits) : "w"(a.v));
      return bits;
    }
#endif
    // A NaN survives: those that come from 16-bit inputs or from arithmetic have a lower half of
    // zeros (see with_short_nan), so that rounding does not carry into the exponent.
    U u;
    memcpy(&u, &a.v, sizeof(u));
    u += 0x7fff + (u >> 16 & 1);
#if FNET_WIDTH32 >= 8
    if constexpr (W == 8) {  // GCC compiles the plain conversion badly on AVX2
      const __m256i upper =
          _mm256_setr_epi8(2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1, 2, 3, 6, 7,
                           10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1);
      const __m256i halves = _mm256_shuffle_epi8((__m256i)u, upper);
      return _mm256_castsi256_si128(_mm256_permute4x64_epi64(halves, 0b1000));
    }
#endif
    if constexpr (FNET_WIDTH32 < 8 || W != 8)
      return __builtin_convertvector(u >> 16, typename IntVector<uint16_t, W>::type);
  } else if constexpr (std::is_same_v<T, Float16>) {
#if FNET_WIDTH32 >= 16
    if constexpr (W == 16) return _mm512_cvtps_ph((__m512)a.v, _MM_FROUND_TO_NEAREST_INT);
#endif
#if FNET_WIDTH32 >= 8
    if constexpr (W == 8) return _mm256_cvtps_ph((__m256)a.v, _MM_FROUND_TO_NEAREST_INT);
#endif
#if defined(__aarch64__)
    if constexpr (W == 4)
      return (typename IntVector<uint16_t, W>::type)vcvt_f16_f32((float32x4_t)a.v);
#endif
    if constexpr (!kHardwareHalf<W>) {
      typename IntVector<uint16_t, W>::type bits{};
      Float16 one;
      for (int i = 0; i < W; ++i) store_scalar(one, a.v[i]), bits[i] = one.bits;
      return bits;
    }
  } else {
    return a.v;
  }
}

template <int W, class T>
FNET_FN void store(T* p, Lanes<Compute<T>, W> a) {
  const auto bits = stored<T>(a);
  typedef decltype(stored<T>(a)) InMemory __attribute__((aligned(alignof(T))));
  *reinterpret_cast<InMemory*>(p) = bits;
}

// A non-temporal store, for an output that the caches cannot hold anyway: it reads no line first
// and evicts nothing useful. p is aligned to the vector; call end_streaming() before anyone reads.
// Plain where there is no such store (streams_output is false there).
template <int W, class T>
FNET_FN void stream(T* p, Lanes<Compute<T>, W> a) {
  const auto bits = stored<T>(a);
#if FNET_WIDTH32 >= 16
  if constexpr (sizeof(bits) == 64) return _mm512_stream_si512((__m512i*)p, (__m512i)bits);
#endif
#if FNET_WIDTH32 >= 8
  if constexpr (sizeof(bits) == 32) return _mm256_stream_si256((__m256i*)p, (__m256i)bits);
#endif
#if defined(__x86_64__)
  if constexpr (sizeof(bits) == 16) return _mm_stream_si128((__m128i*)p, (__m128i)bits);
#endif
  memcpy(p, &bits, sizeof(bits));
}

FNET_FN void end_streaming() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace fnet::FNET_ISA
