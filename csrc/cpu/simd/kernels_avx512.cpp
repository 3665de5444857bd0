// Sixteen floats or eight doubles a register, and thirty-two registers: a radix-16 butterfly fits.
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")
// GCC 12 means its own intrinsics, whose unused operands have no value.
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
