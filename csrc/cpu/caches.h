// The sizes of the caches, as the processor reports them, or else the system.
#pragma once

#include <cstdint>

namespace fnet {

// In bytes, with the values of a processor about which nothing is known.
struct Caches {
  int64_t l2 = 1 << 20;
  int64_t last = 0;  // the last level; 0: unknown
};

int64_t l2_bytes();
int64_t last_level_bytes();

// What Linux says of one processor's caches: `folder`/index<i>/level, type and size, as in
// /sys/devices/system/cpu/cpu0/cache.
Caches caches_in(const char* folder);

}  // namespace fnet
