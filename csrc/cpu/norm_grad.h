// The chunks of rows of LayerNorm's gradient, each with sums of its own.
#pragma once

#include "cpu/kernels.h"

namespace fnet {

// The rows of a chunk. It depends only on the number of rows, so the bits of the sums do not depend
// on the number of slots.
int64_t chunk_rows_of(int64_t rows);

class NormGradChunks {
 public:
  NormGradChunks(const NormGradArgs& args, const CpuNormGradPlan& plan, void* workspace);

  // Rows [begin, end), whose sums are those of chunk c.
  void run(int64_t c, int64_t begin, int64_t end) const;

 private:
  const NormGradArgs& args_;
  const CpuNormGradPlan& plan_;
  void* base_;
};

}  // namespace fnet
