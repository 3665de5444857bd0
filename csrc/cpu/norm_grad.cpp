// The norm's gradient on the CPU: chunks of rows, and their partial sums.
#include "cpu/norm_grad.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "cpu/workspace.h"

namespace fnet {
namespace {

constexpr int64_t kMaxChunks = 128, kMinChunkRows = 16, kBlockChunks = 16;

int64_t blocks_of(int64_t chunks) { return (chunks + kBlockChunks - 1) / kBlockChunks; }

// The backward pass processes this many elements of each slot at a time, so that du stays in L2.
constexpr int64_t kBackwardSlice = 1 << 19;

// to <- the sums of `count` rows of `hidden` numbers that are `pitch` bytes apart, added in order.
// A few columns at a time are whole cache lines of each row. `to` may be the first row.
template <class R, class T>
void add_rows(const void* rows, int64_t count, int64_t pitch, int64_t hidden, T* to) {
  constexpr int64_t kColumns = 64;
  for (int64_t l = 0; l < hidden; l += kColumns) {
    const int64_t columns = std::min(kColumns, hidden - l);
    R sum[kColumns] = {};
    for (int64_t n = 0; n < count; ++n) {
      const auto* row = static_cast<const char*>(rows) + n * pitch;
      for (int64_t i = 0; i < columns; ++i) sum[i] += reinterpret_cast<const R*>(row)[l + i];
    }
    for (int64_t i = 0; i < columns; ++i) store_scalar(to[l + i], sum[i]);
  }
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
  plan.counters = layout.take((blocks_of(chunks) + 1) * int64_t(sizeof(std::atomic<int64_t>)));
  plan.workspace_bytes = layout.bytes();
  return plan;
}

// Chunks [begin, end) of a batch.
void run_chunks(const NormGradChunks& chunks, const NormGradArgs& args, const CpuNormGradPlan& plan,
                int64_t begin, int64_t end, const Parallel& parallel) {
  parallel_ranges(end - begin, parallel, [&](Range range, int) {
    for (int64_t c = begin + range.begin; c < begin + range.end; ++c)
      chunks.run(c, [&](const auto& add) {
        add(c * plan.chunk_rows, std::min(args.rows, (c + 1) * plan.chunk_rows));
      });
  });
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
  left_ = reinterpret_cast<std::atomic<int64_t>*>(offset_bytes(base_, plan.counters));
  const int64_t blocks = blocks_of(plan.chunks);
  for (int64_t b = 0; b < blocks; ++b)
    new (left_ + b) std::atomic<int64_t>(std::min(kBlockChunks, plan.chunks - b * kBlockChunks));
  new (left_ + blocks) std::atomic<int64_t>(blocks);
  if (blocks == 0) add_blocks();
}

char* NormGradChunks::sums(const void* wanted, int64_t offset, int64_t c) const {
  return wanted ? offset_bytes(base_, offset + c * plan_.partial_bytes) : nullptr;
}

void NormGradChunks::clear(int64_t c) const {
  for (char* p : {sums(args_.dweight, plan_.dweight, c), sums(args_.dbias, plan_.dbias, c)})
    if (p) std::memset(p, 0, size_t(plan_.partial_bytes));
}

void NormGradChunks::add(int64_t c, int64_t begin, int64_t end) const {
  plan_.kernels->norm_grad_rows(args_, offset_bytes(base_, plan_.weight), begin, end,
                                sums(args_.dweight, plan_.dweight, c),
                                sums(args_.dbias, plan_.dbias, c));
}

void NormGradChunks::finish(int64_t c) const {
  if (!is_last(c / kBlockChunks)) return;
  add_block(c / kBlockChunks);
  if (is_last(blocks_of(plan_.chunks))) add_blocks();
}

bool NormGradChunks::is_last(int64_t counter) const {
  return left_[counter].fetch_sub(1, std::memory_order_acq_rel) == 1;
}

// Replaces the sums of the block's first chunk.
void NormGradChunks::add_block(int64_t block) const {
  const int64_t first = block * kBlockChunks, count = std::min(kBlockChunks, plan_.chunks - first);
  visit_dtype(compute_dtype(args_.dtype), [&](auto t) {
    using R = Compute<decltype(t)>;
    const auto add = [&](const void* wanted, int64_t offset) {
      char* to = sums(wanted, offset, first);
      if (to) add_rows<R>(to, count, plan_.partial_bytes, args_.hidden, reinterpret_cast<R*>(to));
    };
    add(args_.dweight, plan_.dweight);
    add(args_.dbias, plan_.dbias);
  });
}

void NormGradChunks::add_blocks() const {
  visit_dtype(args_.affine_dtype(), [&](auto t) {
    using T = decltype(t);
    const auto add = [&](void* to, int64_t offset) {
      if (!to) return;
      add_rows<Compute<T>>(offset_bytes(base_, offset), blocks_of(plan_.chunks),
                           kBlockChunks * plan_.partial_bytes, args_.hidden, static_cast<T*>(to));
    };
    add(args_.dweight, plan_.dweight);
    add(args_.dbias, plan_.dbias);
  });
}

void norm_grad_cpu(const NormGradArgs& args, const CpuNormGradPlan& plan, void* workspace,
                   const Parallel& parallel) {
  run_chunks(NormGradChunks(args, plan, workspace), args, plan, 0, plan.chunks, parallel);
}

int64_t backward_slice(const MixArgs& args, const CpuPlan& plan) {
  if (args.batch < plan.slots) return args.batch;  // fewer rounds count more than cached du
  // Sequences that are in progress together are not divided.
  const int64_t together = std::max(1, plan.sequences);
  const int64_t elements = std::max<int64_t>(1, together * args.seq * args.hidden);
  return together * std::max<int64_t>(1, plan.slots * kBackwardSlice / elements);
}

void backward_cpu(const NormGradArgs& norm, const CpuNormGradPlan& norm_plan, void* workspace,
                  const MixArgs& args, const CpuPlan& plan, const Parallel& parallel,
                  const std::function<void(int64_t begin, int64_t end)>& mix) {
  const NormGradChunks chunks(norm, norm_plan, workspace);
  const int64_t slice = backward_slice(args, plan);
  int64_t done = 0;
  for (int64_t begin = 0; begin < args.batch; begin += slice) {
    const int64_t end = std::min(begin + slice, args.batch);
    const int64_t rows = end * args.seq;
    const auto norm_gradient_until = [&](int64_t chunk) {
      run_chunks(chunks, norm, norm_plan, done, chunk, parallel);
      done = chunk;
    };
    // Chunks of rows may extend past the sequences.
    if (!norm.mean) norm_gradient_until((rows + norm_plan.chunk_rows - 1) / norm_plan.chunk_rows);
    mix(begin, end);
    if (norm.mean)
      norm_gradient_until(end == args.batch ? norm_plan.chunks : rows / norm_plan.chunk_rows);
  }
}

}  // namespace fnet
