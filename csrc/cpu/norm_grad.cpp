// The norm's gradient on the CPU: chunks of rows, and their partial sums.
#include "cpu/norm_grad.h"

#include <algorithm>

#include "cpu/workspace.h"

namespace fnet {
namespace {

constexpr int64_t kMaxChunks = 128, kMinChunkRows = 16;

// The backward pass of one slot processes this many elements at a time, so that du stays in its L2.
constexpr int64_t kBackwardSlice = 1 << 19;

// to <- the chunks' partial sums, added in order, for columns [begin, end). A few columns at a time
// are whole cache lines of each chunk.
void add_chunks(const NormGradArgs& args, const CpuNormGradPlan& plan, const void* partials,
                Range columns, void* to) {
  visit_dtype(args.affine_dtype(), [&](auto t) {
    using T = decltype(t);
    using R = Compute<T>;
    constexpr int64_t kColumns = 64;
    for (int64_t l = columns.begin; l < columns.end; l += kColumns) {
      const int64_t count = std::min(kColumns, columns.end - l);
      R sum[kColumns] = {};
      for (int64_t c = 0; c < plan.chunks; ++c) {
        const auto* chunk = static_cast<const char*>(partials) + c * plan.partial_bytes;
        for (int64_t i = 0; i < count; ++i) sum[i] += reinterpret_cast<const R*>(chunk)[l + i];
      }
      for (int64_t i = 0; i < count; ++i) store_scalar(static_cast<T*>(to)[l + i], sum[i]);
    }
  });
}

CpuNormGradPlan plan_chunks(const NormGradArgs& args, int64_t chunk_rows, int64_t chunks,
                            const Kernels& kernels) {
  CpuNormGradPlan plan;
  plan.kernels = &kernels;
  plan.chunk_rows = chunk_rows;
  plan.chunks = chunks;
  plan.partial_bytes = align_workspace(args.hidden * compute_size(args.dtype));
  Layout layout;
  const int64_t partials = plan.chunks * plan.partial_bytes;
  plan.weight = layout.take(plan.partial_bytes);
  plan.dweight = layout.take(args.dweight ? partials : 0);
  plan.dbias = layout.take(args.dbias ? partials : 0);
  plan.workspace_bytes = layout.bytes();
  return plan;
}

}  // namespace

int64_t chunk_rows_of(int64_t rows) {
  return std::max(kMinChunkRows, (rows + kMaxChunks - 1) / kMaxChunks);
}

CpuNormGradPlan plan_norm_grad_cpu(const NormGradArgs& args, const Kernels& kernels) {
  const int64_t chunk_rows = chunk_rows_of(args.rows);
  return plan_chunks(args, chunk_rows, (args.rows + chunk_rows - 1) / chunk_rows, kernels);
}

CpuNormGradPlan plan_norm_grad_varlen_cpu(const NormGradArgs& args, const CpuVarlenPlan& plan,
                                          const Kernels& kernels) {
  return plan_chunks(args, plan.chunk_rows, plan.chunks, kernels);
}

NormGradChunks::NormGradChunks(const NormGradArgs& args, const CpuNormGradPlan& plan,
                               void* workspace)
    : args_(args), plan_(plan), base_(aligned_base(workspace)) {
  widen(args.affine_dtype(), args.weight, 1, args.hidden, offset_bytes(base_, plan.weight));
}

void NormGradChunks::run(int64_t c, int64_t begin, int64_t end) const {
  const auto sums = [&](bool wanted, int64_t offset) {
    return wanted ? offset_bytes(base_, offset + c * plan_.partial_bytes) : nullptr;
  };
  plan_.kernels->norm_grad_rows(args_, offset_bytes(base_, plan_.weight), begin, end,
                                sums(args_.dweight, plan_.dweight), sums(args_.dbias, plan_.dbias));
}

void norm_grad_part_cpu(const NormGradArgs& args, const CpuNormGradPlan& plan, int64_t begin,
                        int64_t end, void* workspace, const Parallel& parallel) {
  const NormGradChunks chunks(args, plan, workspace);
  parallel_ranges(end - begin, parallel, [&](Range range, int) {
    for (int64_t c = begin + range.begin; c < begin + range.end; ++c)
      chunks.run(c, c * plan.chunk_rows, std::min(args.rows, (c + 1) * plan.chunk_rows));
  });
}

void norm_grad_sums_cpu(const NormGradArgs& args, const CpuNormGradPlan& plan, void* workspace,
                        const Parallel& parallel) {
  constexpr int64_t kSlotElements = 1 << 14;  // fewer do not justify waking a thread
  void* base = aligned_base(workspace);
  const int64_t slots =
      std::min<int64_t>(parallel.slots(), plan.chunks * args.hidden / kSlotElements + 1);
  parallel_ranges(args.hidden, parallel.first(int(slots)), [&](Range columns, int) {
    if (args.dweight)
      add_chunks(args, plan, offset_bytes(base, plan.dweight), columns, args.dweight);
    if (args.dbias) add_chunks(args, plan, offset_bytes(base, plan.dbias), columns, args.dbias);
  });
}

void backward_cpu(const NormGradArgs& norm, const CpuNormGradPlan& norm_plan, void* workspace,
                  const MixArgs& args, const CpuPlan& plan, const Parallel& parallel,
                  const std::function<void(int64_t begin, int64_t end)>& mix) {
  // The sequences of one slot, or those that all slots share.
  const int64_t together = std::max(1, plan.sequences);
  const int64_t slice =
      together * std::max<int64_t>(
                     1, kBackwardSlice / std::max<int64_t>(1, plan.group * args.seq * args.hidden));
  int64_t done = 0;
  for (int64_t begin = 0; begin < args.batch; begin += slice) {
    const int64_t end = std::min(begin + slice, args.batch);
    const int64_t rows = end * args.seq;
    const auto norm_gradient_until = [&](int64_t chunk) {
      norm_grad_part_cpu(norm, norm_plan, done, chunk, workspace, parallel);
      done = chunk;
    };
    // Chunks of rows may extend past the sequences.
    if (!norm.mean) norm_gradient_until((rows + norm_plan.chunk_rows - 1) / norm_plan.chunk_rows);
    mix(begin, end);
    if (norm.mean)
      norm_gradient_until(end == args.batch ? norm_plan.chunks : rows / norm_plan.chunk_rows);
  }
  norm_grad_sums_cpu(norm, norm_plan, workspace, parallel);
}

}  // namespace fnet
