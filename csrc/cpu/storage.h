// Between tensors and lanes: load and store W elements of storage type T as Lanes<Compute<T>, W>.
#pragma once

#include "core/dtype.h"
#include "cpu/lanes.h"

#if defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace fnet::FNET_ISA {

template <class I, int W>
struct IntVector {
  typedef I type __attribute__((vector_size(sizeof(I) * W)));
};

template <int W, class R>
FNET_FN Lanes<R, W> load(const R* p) {
  return Lanes<R, W>::load(p);
}

template <int W, class R>
FNET_FN void store(R* p, Lanes<R, W> a) {
  a.store(p);
}

template <int W>
FNET_FN Lanes<float, W> load(const BFloat16* p) {
  typename IntVector<uint16_t, W>::type narrow;
  memcpy(&narrow, p, sizeof(narrow));
  const auto wide = __builtin_convertvector(narrow, typename IntVector<uint32_t, W>::type) << 16;
  Lanes<float, W> r;
  memcpy(&r.v, &wide, sizeof(wide));
  return r;
}

template <int W>
FNET_FN void store(BFloat16* p, Lanes<float, W> a) {
  using U = typename IntVector<uint32_t, W>::type;
  U u;
  memcpy(&u, &a.v, sizeof(u));
  U rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
  const U nan = (U)(a.v != a.v);
  rounded = (rounded & ~nan) | (nan & 0x7fc0);
  const auto narrow = __builtin_convertvector(rounded, typename IntVector<uint16_t, W>::type);
  memcpy(p, &narrow, sizeof(narrow));
}

template <int W>
FNET_FN Lanes<float, W> load(const Float16* p) {
#if defined(__AVX512F__)
  if constexpr (W == 16)
    return {
        (typename Lanes<float, W>::Vector)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))};
#endif
#if defined(__F16C__)
  if constexpr (W == 8)
    return {(typename Lanes<float, W>::Vector)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p))};
#endif
  float lane[W];
  for (int i = 0; i < W; ++i) lane[i] = load_scalar(p[i]);
  return Lanes<float, W>::load(lane);
}

template <int W>
FNET_FN void store(Float16* p, Lanes<float, W> a) {
#if defined(__AVX512F__)
  if constexpr (W == 16) {
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)a.v, _MM_FROUND_TO_NEAREST_INT));
    return;
  }
#endif
#if defined(__F16C__)
  if constexpr (W == 8) {
    _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)a.v, _MM_FROUND_TO_NEAREST_INT));
    return;
  }
#endif
  float lane[W];
  a.store(lane);
  for (int i = 0; i < W; ++i) store_scalar(p[i], lane[i]);
}

// The first count < W elements; the other lanes are zero.
template <int W, class T>
FNET_FN Lanes<Compute<T>, W> load_part(const T* p, int64_t count) {
  Compute<T> lane[W] = {};
  for (int64_t i = 0; i < count; ++i) lane[i] = load_scalar(p[i]);
  return Lanes<Compute<T>, W>::load(lane);
}

template <int W, class T>
FNET_FN void store_part(T* p, Lanes<Compute<T>, W> a, int64_t count) {
  Compute<T> lane[W];
  a.store(lane);
  for (int64_t i = 0; i < count; ++i) store_scalar(p[i], lane[i]);
}

}  // namespace fnet::FNET_ISA
