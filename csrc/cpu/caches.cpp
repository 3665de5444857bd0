#include "cpu/caches.h"

#include <initializer_list>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fnet {
namespace {

struct Caches {
  int64_t l2 = 1 << 20, last = 0;
};

// Leaf 4 of Intel's processors, 0x8000001D of AMD's: a sub-leaf for each cache, then an empty one
// (which a virtual machine may lack).
Caches describe() {
  Caches caches;
#if defined(__x86_64__)
  constexpr unsigned kMaxCaches = 8;
  for (const unsigned leaf : {0x4u, 0x8000001du}) {
    unsigned a, b, c, d;
    for (unsigned cache = 0; cache < kMaxCaches; ++cache) {
      if (!__get_cpuid_count(leaf, cache, &a, &b, &c, &d) || (a & 31) == 0) break;
      const int64_t ways = (b >> 22) + 1, partitions = (b >> 12 & 0x3ff) + 1,
                    line = (b & 0xfff) + 1;
      caches.last = ways * partitions * line * (int64_t(c) + 1);
      if ((a >> 5 & 7) == 2) caches.l2 = caches.last;
    }
    if (caches.last > 0) break;
  }
#endif
  return caches;
}

const Caches& caches() {
  static const Caches found = describe();
  return found;
}

}  // namespace

int64_t l2_bytes() { return caches().l2; }
int64_t last_level_bytes() { return caches().last; }

}  // namespace fnet
