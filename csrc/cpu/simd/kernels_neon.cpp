// NEON, which every aarch64 processor has: sixteen-byte registers, thirty-two of them, with fused
// multiply-add and half-precision conversion.
#if defined(__aarch64__)
#define FNET_ISA neon
#define FNET_WIDTH32 4
#define FNET_WIDTH64 2
#include "cpu/simd/kernel_table.h"

namespace fnet {
const Kernels& neon_kernels() {
  static constexpr Kernels table = neon::make_table("neon");
  return table;
}
}  // namespace fnet
#endif
