// The workspace of the CPU kernels. Each thread keeps one between calls, in huge pages if the
// system grants them: new pages cost a fault each, and scattered pages conflict in the cache for
// which the workspace is sized. That saves a quarter to a third of a call at 2x2048x768 and
// 4x512x1024.
#pragma once

#include <cstdlib>
#include <memory>
#include <utility>

#include "torch/errors.h"
#include "torch/huge_pages.h"

namespace fnet::binding {

class Workspace {
 public:
  // Larger workspaces are freed after the call.
  static constexpr size_t kMaxKept = 64 << 20;

  explicit Workspace(size_t bytes) : block_(std::exchange(kept(), Block{})) {
    if (block_.bytes >= bytes) return;
    block_ = Block{};  // frees the old block before allocating the new one
    void* data = nullptr;
    if (posix_memalign(&data, kHugePage, bytes) != 0) fail_out_of_memory(bytes);
    block_.data.reset(data);
    block_.bytes = bytes;
    prefer_huge_pages(data, bytes);
  }
  ~Workspace() {
    if (block_.bytes <= kMaxKept) kept() = std::move(block_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  void* data() const { return block_.data.get(); }

  // Frees what the calling thread keeps.
  static void clear() { kept() = Block{}; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  struct Block {
    std::unique_ptr<void, Free> data;
    size_t bytes = 0;
  };
  // The block of this thread; empty while a call uses it.
  static Block& kept() {
    thread_local Block block;
    return block;
  }

  Block block_;
};

}  // namespace fnet::binding
