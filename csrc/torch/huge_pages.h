// Fresh memory on Linux comes 4 KiB at a time, a fault for each: for the outputs of a training step
// that is as long as the step itself. Where the system leaves huge pages to the asking ("madvise",
// the common setting), this asks.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fnet::binding {

inline constexpr size_t kHugePage = 2 << 20;

// Asks for huge pages for so many bytes at p, which have not been written yet. A wish: without
// effect on small or already mapped memory, and never an error.
inline void prefer_huge_pages([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) {
#ifdef __linux__
  const uintptr_t first = reinterpret_cast<uintptr_t>(p), last = first + bytes;
  const uintptr_t begin = (first + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = last / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace fnet::binding
