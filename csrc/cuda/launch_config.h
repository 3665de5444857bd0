// How a kernel is launched, on a device or in the simulator.
#pragma once

#include <cstddef>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#endif

namespace fnet {

#if !defined(__CUDACC__)
struct dim3 {  // CUDA's
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
#endif

struct LaunchConfig {
  const char* name = "";
  dim3 grid = 1, block = 1;
  size_t shared_bytes = 0;
  void* stream = nullptr;  // a cudaStream_t
  bool overlaps = false;   // starts before the previous kernel of the stream ends
};

}  // namespace fnet
