// Cache sizes, as the processor or else the operating system reports them.
#pragma once

#include <cstdint>

namespace fnet {

// Sizes in bytes. The defaults are for processors that report nothing.
struct Caches {
  int64_t l2 = 1 << 20;
  int64_t last = 0;  // last level; 0 if unknown
};

int64_t l2_bytes();
int64_t last_level_bytes();

// Reads the caches of a processor from `folder`/index<i>/level, type and size, which Linux provides
// in /sys/devices/system/cpu/cpu0/cache.
Caches caches_in(const char* folder);

}  // namespace fnet
