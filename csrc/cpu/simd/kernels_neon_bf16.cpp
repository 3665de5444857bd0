// NEON of processors that also convert to bfloat16 (FEAT_BF16: Neoverse V1, V2 and N2).
#if defined(__aarch64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)
#else
#pragma GCC target("+bf16")
#endif
#define FNET_ISA neon_bf16
#define FNET_WIDTH32 4
#define FNET_WIDTH64 2
#define FNET_BFCVT
#include "cpu/simd/kernel_table.h"

namespace fnet {
const Kernels& neon_bf16_kernels() {
  static constexpr Kernels table = neon_bf16::make_table("neon_bf16");
  return table;
}
}  // namespace fnet

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
