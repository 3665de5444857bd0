// Types that device.h and both implementations of its intrinsics share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "cuda/warp.h"

namespace fnet {

enum class Cache {
  kDefault,
  kReadOnly,   // constant while the kernel runs
  kStreaming,  // accessed once, so evicted first
};

// N adjacent elements, loaded or stored by one instruction.
template <class T, int N>
struct alignas(N * sizeof(T)) Vec {
  T v[N];
  FNET_FN T& operator[](int i) { return v[i]; }
  FNET_FN const T& operator[](int i) const { return v[i]; }
};

}  // namespace fnet
