// On Linux, fresh memory costs a page fault per 4 KiB: for the outputs of a training step, as long
// as the step itself. If the system grants huge pages on request ("madvise", the usual setting),
// this requests them.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fnet::binding {

inline constexpr size_t kHugePage = 2 << 20;

// Requests huge pages for `bytes` bytes at p, before they are written. A hint: it has no effect on
// small or already mapped memory, and never fails.
inline void prefer_huge_pages([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) {
#ifdef __linux__
  const uintptr_t first = reinterpret_cast<uintptr_t>(p), last = first + bytes;
  const uintptr_t begin = (first + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = last / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace fnet::binding
