// Storage types: how tensors store numbers. Arithmetic is in float (double for double); loads and
// stores convert 16-bit types, rounding to nearest even. CUDA uses the conversion instructions
// directly: the toolkit's headers need CCCL, which nvcc from PyPI lacks.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "core/defs.h"

namespace fnet {

enum class DType : int32_t { kFloat32, kFloat64, kBFloat16, kFloat16 };

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

constexpr int64_t element_size(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}
constexpr DType compute_dtype(DType dtype) {
  return dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
}
constexpr int64_t compute_size(DType dtype) { return element_size(compute_dtype(dtype)); }

// The type that T is computed in.
template <class T>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeOf<T>::type;

// Calls body(T{}) with the storage type of dtype.
template <class F>
decltype(auto) visit_dtype(DType dtype, const F& body) {
  switch (dtype) {
    case DType::kFloat64: return body(double{});
    case DType::kBFloat16: return body(BFloat16{});
    case DType::kFloat16: return body(Float16{});
    case DType::kFloat32: break;
  }
  return body(float{});
}

namespace detail {

template <class To, class From>
FNET_FN To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

}  // namespace detail

// Replaces a NaN by one whose lower half is zero, which survives rounding to bfloat16.
template <class R>
FNET_FN R with_short_nan(R a) {
  return a == a ? a : std::numeric_limits<R>::quiet_NaN();
}

FNET_FN float load_scalar(float v) { return v; }
FNET_FN double load_scalar(double v) { return v; }
FNET_FN float load_scalar(BFloat16 v) { return detail::bits_as<float>(uint32_t(v.bits) << 16); }

FNET_FN float load_scalar(Float16 v) {
#if defined(__CUDA_ARCH__)
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(v.bits));
  return wide;
#else
  const uint32_t sign = uint32_t(v.bits & 0x8000) << 16, magnitude = v.bits & 0x7fff;
  if (magnitude >= 0x7c00)  // infinity, NaN
    return detail::bits_as<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  // The shifted bits are the value times 2^-112, for subnormals too.
  return detail::bits_as<float>(
      sign | detail::bits_as<uint32_t>(detail::bits_as<float>(magnitude << 13) * 0x1p112f));
#endif
}

FNET_FN void store_scalar(float& to, float v) { to = v; }
FNET_FN void store_scalar(double& to, double v) { to = v; }

FNET_FN void store_scalar(BFloat16& to, float v) {
#if defined(__CUDA_ARCH__)
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(v));
#else
  const uint32_t u = detail::bits_as<uint32_t>(v);
  to.bits = uint16_t(v != v ? 0x7fc0 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
#endif
}

FNET_FN void store_scalar(Float16& to, float v) {
#if defined(__CUDA_ARCH__)
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(v));
#else
  const uint32_t u = detail::bits_as<uint32_t>(v), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
  uint32_t h;
  if (a > 0x7f800000) {
    h = 0x7e00;
  } else if (a >= 0x477ff000) {  // rounds to 65536 or more
    h = 0x7c00;
  } else if (a < 0x38800000) {
    // Below 2^-14: adding 0.5 leaves the rounded subnormal in the low bits.
    h = detail::bits_as<uint32_t>(detail::bits_as<float>(a) + 0.5f) - 0x3f000000;
  } else {
    h = (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13;
  }
  to.bits = uint16_t(sign | h);
#endif
}

// Two adjacent elements at once: for 16-bit types a GPU needs fewer instructions.
template <class T, class R>
FNET_FN void load_two(const T* from, R& a, R& b) {
  a = load_scalar(from[0]);
  b = load_scalar(from[1]);
}
template <class T, class R>
FNET_FN void store_two(T* to, R a, R b) {
  store_scalar(to[0], a);
  store_scalar(to[1], b);
}

#if defined(__CUDA_ARCH__)
FNET_FN void load_two(const BFloat16* from, float& a, float& b) {
  uint32_t two;
  memcpy(&two, from, sizeof(two));
  a = detail::bits_as<float>(two << 16);
  b = detail::bits_as<float>(two & 0xffff0000u);
}
FNET_FN void load_two(const Float16* from, float& a, float& b) {
  uint32_t two;
  memcpy(&two, from, sizeof(two));
  asm("{ .reg .b16 lower, upper; mov.b32 {lower, upper}, %2;"
      " cvt.f32.f16 %0, lower; cvt.f32.f16 %1, upper; }"
      : "=f"(a), "=f"(b)
      : "r"(two));
}
FNET_FN void store_two(BFloat16* to, float a, float b) {
  uint32_t two;  // the first operand is the upper half
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(two) : "f"(b), "f"(a));
  memcpy(to, &two, sizeof(two));
}
FNET_FN void store_two(Float16* to, float a, float b) {
  uint32_t two;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(two) : "f"(b), "f"(a));
  memcpy(to, &two, sizeof(two));
}
#endif

}  // namespace fnet
