// Software prefetch.
#pragma once

#include <cstdint>

#include "core/defs.h"

namespace fnet::FNET_ISA {

// Prefetches `Bytes` bytes from p on into L2 (except the last line if p is not aligned). p may
// point anywhere.
template <int64_t Bytes>
FNET_FN void prefetch(const void* p) {
  constexpr int64_t kCacheLine = 64;
  static_for<(Bytes + kCacheLine - 1) / kCacheLine>([&](auto i) FNET_INLINE_LAMBDA {
    __builtin_prefetch(static_cast<const char*>(p) + i * kCacheLine, 0, 2);
  });
}

}  // namespace fnet::FNET_ISA
