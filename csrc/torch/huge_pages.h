// On Linux, new memory costs a page fault per 4 KiB. For the outputs of a training step the faults
// take as long as the step itself. This header requests huge pages, which the usual system setting
// ("madvise") grants.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fnet::binding {

inline constexpr size_t kHugePage = 2 << 20;

// Requests huge pages for `bytes` bytes at p. Call it before they are written: the hint has no
// effect on small or already mapped memory. It never fails.
inline void prefer_huge_pages([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) {
#ifdef __linux__
  const uintptr_t first = reinterpret_cast<uintptr_t>(p), last = first + bytes;
  const uintptr_t begin = (first + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = last / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace fnet::binding
