// AVX-512: 16 floats or 8 doubles per register, and 32 registers, which hold a radix-16 butterfly.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
// GCC 12 warns about the unused operands of its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define FNET_ISA avx512
#define FNET_WIDTH32 16
#define FNET_WIDTH64 8
#include "cpu/simd/kernel_table.h"

namespace fnet {
const Kernels& avx512_kernels() {
  static constexpr Kernels table = avx512::make_table("avx512");
  return table;
}
}  // namespace fnet

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
