// What device.h and both implementations of its intrinsics are declared with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "cuda/warp.h"

namespace fnet {

enum class Cache {
  kDefault,
  kReadOnly,   // nobody writes it while the kernel runs
  kStreaming,  // accessed once: evicted first
};

// N adjacent elements in memory, moved by one instruction.
template <class T, int N>
struct alignas(N * sizeof(T)) Vec {
  T v[N];
  FNET_FN T& operator[](int i) { return v[i]; }
  FNET_FN const T& operator[](int i) const { return v[i]; }
};

}  // namespace fnet
