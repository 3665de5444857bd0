// LayerNorm's gradient on the CPU: chunks of rows, and their partial sums.
#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/workspace.h"

namespace fnet {
namespace {

// Chunks depend only on the number of rows, so results do not depend on the number of threads.
constexpr int64_t kMaxChunks = 64, kMinChunkRows = 64;

// to <- the chunks' partial sums, added in order.
void add_chunks(const NormGradArgs& args, const CpuNormGradPlan& plan, const void* partials,
                void* to) {
  visit_dtype(args.affine_dtype(), [&](auto t) {
    using T = decltype(t);
    using R = Compute<T>;
    for (int64_t l = 0; l < args.hidden; ++l) {
      R sum = 0;
      for (int64_t c = 0; c < plan.chunks; ++c)
        sum += reinterpret_cast<const R*>(static_cast<const char*>(partials) +
                                          c * plan.partial_bytes)[l];
      store_scalar(static_cast<T*>(to)[l], sum);
    }
  });
}

}  // namespace

CpuNormGradPlan plan_norm_grad_cpu(const NormGradArgs& args, const Kernels& kernels) {
  CpuNormGradPlan plan;
  plan.kernels = &kernels;
  plan.chunk_rows = std::max(kMinChunkRows, (args.rows + kMaxChunks - 1) / kMaxChunks);
  plan.chunks = (args.rows + plan.chunk_rows - 1) / plan.chunk_rows;
  plan.partial_bytes = align_workspace(args.hidden * compute_size(args.dtype));
  Layout layout;
  const int64_t partials = plan.chunks * plan.partial_bytes;
  plan.weight = layout.take(plan.partial_bytes);
  plan.dweight = layout.take(args.dweight ? partials : 0);
  plan.dbias = layout.take(args.dbias ? partials : 0);
  plan.workspace_bytes = layout.bytes();
  return plan;
}

void norm_grad_part_cpu(const NormGradArgs& args, const CpuNormGradPlan& plan, int64_t begin,
                        int64_t end, void* workspace, const Parallel& parallel) {
  void* base = aligned_base(workspace);
  void* weight = offset_bytes(base, plan.weight);
  widen(args.affine_dtype(), args.weight, 1, args.hidden, weight);
  parallel_ranges(end - begin, parallel, [&](Range range, int) {
    for (int64_t c = begin + range.begin; c < begin + range.end; ++c) {
      const auto partial = [&](bool wanted, int64_t offset) {
        return wanted ? offset_bytes(base, offset + c * plan.partial_bytes) : nullptr;
      };
      plan.kernels->norm_grad_rows(
          args, weight, c * plan.chunk_rows, std::min(args.rows, (c + 1) * plan.chunk_rows),
          partial(args.dweight, plan.dweight), partial(args.dbias, plan.dbias));
    }
  });
}

void norm_grad_sums_cpu(const NormGradArgs& args, const CpuNormGradPlan& plan, void* workspace) {
  void* base = aligned_base(workspace);
  if (args.dweight) add_chunks(args, plan, offset_bytes(base, plan.dweight), args.dweight);
  if (args.dbias) add_chunks(args, plan, offset_bytes(base, plan.dbias), args.dbias);
}

}  // namespace fnet
