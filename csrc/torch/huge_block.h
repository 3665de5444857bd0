// A block of memory in huge pages if the system grants them.
//
// On Linux it is a mapping of its own. malloc may return memory that it has mapped before in small
// pages, for which the request for huge pages comes too late: 4x512x1024 took up to 1.6 times as
// long in a process whose heap was made of scattered pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "torch/huge_pages.h"

namespace fnet::binding {

class HugeBlock {
 public:
  HugeBlock() = default;  // empty

  // At least `bytes` bytes; data() is null if there is no memory. Only whole huge pages are huge:
  // rounding up would hold up to 2 MiB more.
  explicit HugeBlock(size_t bytes) : size_((bytes + kUnit - 1) / kUnit * kUnit) {
#ifdef __linux__
    // The mapping is larger by a huge page, so that it contains an aligned block; the rest goes
    // back.
    void* mapped = mmap(nullptr, size_ + kHugePage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
      size_ = 0;
      return;
    }
    char* const first = static_cast<char*>(mapped);
    const size_t before = -reinterpret_cast<uintptr_t>(first) % kHugePage;
    if (before > 0) munmap(first, before);
    munmap(first + before + size_, kHugePage - before);
    data_ = first + before;
    prefer_huge_pages(data_, size_);
#else
    data_ = std::aligned_alloc(kUnit, size_);
    if (!data_) size_ = 0;
#endif
  }
  ~HugeBlock() {
#ifdef __linux__
    if (data_) munmap(data_, size_);
#else
    std::free(data_);
#endif
  }
  HugeBlock(HugeBlock&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  HugeBlock& operator=(HugeBlock other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  static constexpr size_t kUnit = 64 << 10;  // a multiple of every small page size

  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace fnet::binding
