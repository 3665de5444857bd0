// AVX2: eight floats or four doubles per register, fused multiply-add, half-precision conversion.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif
#define FNET_ISA avx2
#define FNET_WIDTH32 8
#define FNET_WIDTH64 4
#include "cpu/simd/kernel_table.h"

namespace fnet {
const Kernels& avx2_kernels() {
  static constexpr Kernels table = avx2::make_table("avx2");
  return table;
}
}  // namespace fnet

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
