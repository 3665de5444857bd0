// The workspace of the CPU kernels. Each thread keeps one between calls, in huge pages if the
// system grants them: new pages cost a fault each, and scattered pages conflict in the cache for
// which the workspace is sized. That saves a quarter to a third of a call at 2x2048x768 and
// 4x512x1024.
#pragma once

#include <utility>

#include "torch/errors.h"
#include "torch/huge_block.h"

namespace fnet::binding {

class Workspace {
 public:
  // Larger workspaces are freed after the call.
  static constexpr size_t kMaxKept = 64 << 20;

  explicit Workspace(size_t bytes) : block_(std::exchange(kept(), HugeBlock())) {
    if (block_.size() >= bytes) return;
    block_ = HugeBlock();  // frees the old block before allocating the new one
    block_ = HugeBlock(bytes);
    if (!block_.data()) fail_out_of_memory(bytes);
  }
  ~Workspace() {
    if (block_.size() <= kMaxKept) kept() = std::move(block_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  void* data() const { return block_.data(); }

  // Frees what the calling thread keeps.
  static void clear() { kept() = HugeBlock(); }

 private:
  // The block of this thread; empty while a call uses it.
  static HugeBlock& kept() {
    thread_local HugeBlock block;
    return block;
  }

  HugeBlock block_;
};

}  // namespace fnet::binding
