// The chunks of rows of LayerNorm's gradient, each with sums of its own.
#pragma once

#include <atomic>

#include "cpu/kernels.h"

namespace fnet {

// The rows of a chunk. It depends only on the number of rows, so the bits of the sums do not depend
// on the number of slots.
int64_t chunk_rows_of(int64_t rows);

// The chunks of one call. Sixteen neighbours form a block. The slot that finishes the last chunk of
// a block adds up the block; the slot that adds up the last block adds up all blocks, to dweight
// and dbias. Slots may run chunks in any order: each sum has a fixed order.
class NormGradChunks {
 public:
  NormGradChunks(const NormGradArgs& args, const CpuNormGradPlan& plan, void* workspace);

  // Chunk c: rows(add) calls add(begin, end) for each range of its rows.
  template <class F>
  void run(int64_t c, const F& rows) const {
    clear(c);
    rows([&](int64_t begin, int64_t end) { add(c, begin, end); });
    finish(c);
  }

 private:
  char* sums(const void* wanted, int64_t offset, int64_t c) const;
  void clear(int64_t c) const;
  void add(int64_t c, int64_t begin, int64_t end) const;
  void finish(int64_t c) const;
  bool is_last(int64_t counter) const;
  void add_block(int64_t block) const;
  void add_blocks() const;

  const NormGradArgs& args_;
  const CpuNormGradPlan& plan_;
  void* base_;
  std::atomic<int64_t>* left_;  // chunks of each block, then blocks
};

}  // namespace fnet
