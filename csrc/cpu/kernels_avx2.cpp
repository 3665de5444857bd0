// Eight floats or four doubles a register, with fused multiply-add and half-precision conversion.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,f16c")
#define FNET_ISA avx2
#define FNET_WIDTH32 8
#define FNET_WIDTH64 4
#include "cpu/kernel_table.h"

namespace fnet {
const Kernels& avx2_kernels() {
  static constexpr Kernels table = avx2::kTable("avx2");
  return table;
}
}  // namespace fnet
#endif
