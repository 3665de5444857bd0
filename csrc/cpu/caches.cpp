#include "cpu/caches.h"

#include <fstream>
#include <initializer_list>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fnet {
namespace {

constexpr unsigned kMaxCaches = 8;

// Leaf 4 of Intel's processors, 0x8000001D of AMD's: a sub-leaf for each cache, then an empty one
// (which a virtual machine may lack).
Caches ask_processor() {
  Caches caches;
#if defined(__x86_64__)
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

Caches describe() {
  const Caches found = ask_processor();
  return found.last > 0 ? found : caches_in("/sys/devices/system/cpu/cpu0/cache");
}

const Caches& caches() {
  static const Caches found = describe();
  return found;
}

}  // namespace

int64_t l2_bytes() { return caches().l2; }
int64_t last_level_bytes() { return caches().last; }

Caches caches_in(const char* folder) {
  Caches caches;
  int last_level = 0;
  for (unsigned cache = 0; cache < kMaxCaches; ++cache) {
    const std::string index = std::string(folder) + "/index" + std::to_string(cache);
    int level = 0;
    std::string type;
    int64_t kilobytes = 0;  // "1024K"
    std::ifstream(index + "/level") >> level;
    std::ifstream(index + "/type") >> type;
    std::ifstream(index + "/size") >> kilobytes;
    if (type == "Instruction" || kilobytes <= 0) continue;
    if (level == 2) caches.l2 = kilobytes << 10;
    if (level > last_level) last_level = level, caches.last = kilobytes << 10;
  }
  return caches;
}

}  // namespace fnet
