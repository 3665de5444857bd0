// Sixteen-byte registers by the compiler's vectors alone: SSE2 on x86-64, and what any processor
// without kernels of its own has. On aarch64 kernels_neon.cpp takes its place.
#if !defined(__aarch64__)
#define FNET_ISA portable
#define FNET_WIDTH32 4
#define FNET_WIDTH64 2
#include "cpu/simd/kernel_table.h"

namespace fnet {
const Kernels& portable_kernels() {
  static constexpr Kernels table = portable::make_table("portable");
  return table;
}
}  // namespace fnet
#endif
