// Sixteen-byte registers, which every 64-bit machine has: SSE2 on x86, NEON on Arm.
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
