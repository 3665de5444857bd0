// Sequences of different lengths: which slots transform which, and in what order.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <queue>

#include "cpu/kernels.h"
#include "cpu/norm_grad.h"
#include "cpu/workspace.h"

namespace fnet {
namespace {

using Group = CpuVarlenPlan::Group;

const Parallel kOneSlot(1, [](int, Parallel::Body body, void* context) { body(context, 0); });

// A group has neighbours of at most `chunk_rows` rows together, or one sequence. Padding between
// them does not count. Two neighbouring groups have more rows, so there are at most two groups per
// `chunk_rows` rows, and three of the sums of LayerNorm's gradient. Groups depend only on the
// lengths, so the bits of the sums do not depend on the slots.
std::vector<Group> groups_of(const std::vector<Sequence>& sequences, int64_t chunk_rows) {
  std::vector<Group> groups;
  for (int64_t i = 0; i < int64_t(sequences.size()); ++i) {
    const Sequence& s = sequences[i];
    const bool joins = !groups.empty() && groups.back().rows + s.length <= chunk_rows;
    if (!joins) {
      const int64_t chunk = groups.empty() ? 0 : groups.back().chunk + groups.back().chunks;
      groups.push_back({i, i, 0, 0, 0, chunk, 0});
    }
    Group& group = groups.back();
    group.end = i + 1;
    group.rows += s.length;
    group.chunks = (group.rows + chunk_rows - 1) / chunk_rows;
  }
  return groups;
}

// The time until the slots finish groups [first, end), of falling work, from one queue. The unit is
// the work of one slot.
double queue_time(const std::vector<Group>& groups, int64_t first, int workers) {
  constexpr int64_t kMany = 8;  // per slot; with more groups all slots finish at about one time
  const int64_t end = int64_t(groups.size());
  int64_t sum = 0, last = 0;
  if (end - first > kMany * workers) {
    for (int64_t g = first; g < end; ++g) sum += groups[g].elements;
    return double(std::max(sum / workers, groups[first].elements));
  }
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<>> free_at;
  for (int w = 0; w < workers; ++w) free_at.push(0);
  for (int64_t g = first; g < end; ++g) {
    const int64_t done = free_at.top() + groups[g].elements;
    free_at.pop(), free_at.push(done);
    last = std::max(last, done);
  }
  return double(last);
}

// The plan of a sequence that all slots share, or as many as `memory` allows.
CpuPlan shared_plan(const MixArgs& args, int slots, int64_t memory, const Kernels& kernels,
                    const PlanChoice& choice) {
  for (;; slots /= 2) {
    const CpuPlan plan = plan_cpu(args, slots, kernels, choice);
    if (slots == 1 || int64_t(plan.workspace_bytes) <= memory) return plan;
  }
}

void clear_rows(const MixArgs& args, int64_t begin, int64_t end) {
  const auto clear = [&](void* p, int64_t row_bytes) {
    if (p) std::memset(offset_bytes(p, begin * row_bytes), 0, size_t((end - begin) * row_bytes));
  };
  clear(args.y, args.hidden * element_size(args.dtype));
  clear(args.normalized, args.hidden * element_size(args.dtype));
  clear(args.rstd, compute_size(args.dtype));
}

// Calls add(begin, end) for the rows of chunk c of a group, which has one chunk or one sequence.
// Sequences without padding between them are one range.
template <class F>
void rows_of_chunk(const CpuVarlenPlan& plan, const Group& group, int64_t c, const F& add) {
  const int64_t skipped = c * plan.chunk_rows;
  for (int64_t i = group.begin; i < group.end;) {
    const int64_t begin = plan.sequences[i].row;
    int64_t end = begin;
    for (; i < group.end && plan.sequences[i].row == end; ++i) end += plan.sequences[i].length;
    add(begin + skipped, std::min(begin + skipped + plan.chunk_rows, end));
  }
}

// Mixes all groups. Calls before(group, parallel) before the mix of each.
template <class F>
Status mix_groups(const MixArgs& args, const CpuVarlenPlan& plan, void* workspace,
                  const Parallel& parallel, const F& before) {
  std::atomic<Status> status = Status::kOk;
  const auto mix = [&](const Group& group, const CpuPlan* shared, void* memory,
                       const Parallel& slots) {
    before(group, slots);
    for (int64_t i = group.begin; i < group.end; ++i) {
      const Sequence& s = plan.sequences[i];
      const CpuPlan* own = shared ? shared : plan.plan_of(i);
      if (own && own->path == Path::kKernels) {
        const Status done = mix_part_cpu(args_of(args, s), *own, 0, 1, memory, slots);
        if (done != Status::kOk) status = done;
      }
      clear_rows(args, s.row + s.length, s.end);
    }
  };

  const int64_t shared = int64_t(plan.shared.size());
  for (int64_t g = 0; g < shared; ++g)
    mix(plan.groups[g], &plan.shared[g], workspace, parallel.first(plan.shared[g].slots));
  std::atomic<int64_t> next = shared;
  parallel.first(plan.workers).each([&](int slot) {
    void* memory = offset_bytes(workspace, slot * plan.worker_bytes);
    for (int64_t g; (g = next.fetch_add(1)) < int64_t(plan.groups.size());)
      mix(plan.groups[g], nullptr, memory, kOneSlot);
  });
  return status;
}

}  // namespace

CpuVarlenPlan plan_varlen_cpu(const MixArgs& args, std::vector<Sequence> sequences, int slots,
                              const Kernels& kernels, const PlanChoice& choice) {
  // The time of a shared sequence over that of equal shares of it, and the elements that a slot
  // transforms during the waits for the others.
  constexpr double kSharedTime = 1.25, kWaitElements = 1 << 14;

  CpuVarlenPlan plan{};
  plan.sequences = std::move(sequences);
  std::map<std::pair<int64_t, bool>, int> known;
  int64_t rows = 0;
  for (const Sequence& s : plan.sequences) {
    rows += s.length;
    int index = -1;
    if (s.length > 0) {
      const auto [place, is_new] =
          known.try_emplace({s.seq, s.length < s.seq}, int(plan.plans.size()));
      if (is_new) plan.plans.push_back(plan_cpu(args_of(args, s), 1, kernels, choice));
      index = place->second;
    }
    plan.plan_indices.push_back(index);
  }

  plan.chunk_rows = chunk_rows_of(rows);
  plan.groups = groups_of(plan.sequences, plan.chunk_rows);
  for (Group& group : plan.groups) {
    plan.chunks += group.chunks;
    for (int64_t i = group.begin; i < group.end; ++i) {
      const CpuPlan* own = plan.plan_of(i);
      if (!own || own->path != Path::kKernels) continue;
      group.elements += plan.sequences[i].seq * args.hidden;
      group.workspace_bytes = std::max(group.workspace_bytes, int64_t(own->workspace_bytes));
    }
  }
  std::stable_sort(plan.groups.begin(), plan.groups.end(),
                   [](const Group& a, const Group& b) { return a.elements > b.elements; });

  // How many of the longest sequences all slots share.
  const int64_t count = int64_t(plan.groups.size());
  const int64_t memory = memory_limit(rows * args.hidden * compute_size(args.dtype), count == 1);
  std::vector<int64_t> bytes(count + 1);  // of a worker that takes groups from here on
  for (int64_t g = count; g-- > 0;)
    bytes[g] = std::max(bytes[g + 1], align_workspace(plan.groups[g].workspace_bytes));
  double elements = 0, shared_time = 0, best = 0;
  for (const Group& group : plan.groups) elements += double(group.elements);
  int64_t shared = 0;
  for (int64_t g = 0; g <= std::min<int64_t>(count, slots); ++g) {
    const int64_t most = std::clamp<int64_t>(count - g, 1, slots);
    const int64_t least = slots <= 2 ? most : 1;
    const int workers =
        int(std::clamp<int64_t>(memory / std::max<int64_t>(bytes[g], 1), least, most));
    const double time = shared_time + queue_time(plan.groups, g, workers);
    if (g == 0 || time < best) best = time, shared = g, plan.workers = workers;
    // Sharing cannot save a tenth, or more of it takes ever longer.
    if (best <= 1.1 * elements / slots || time > 1.5 * best) break;
    if (g == count || plan.groups[g].end - plan.groups[g].begin > 1) break;
    shared_time += kSharedTime * double(plan.groups[g].elements) / slots + kWaitElements;
  }
  plan.worker_bytes = bytes[shared];
  plan.workspace_bytes = size_t(plan.workers * plan.worker_bytes);
  for (int64_t g = 0; g < shared; ++g) {
    const MixArgs own = args_of(args, plan.sequences[plan.groups[g].begin]);
    plan.shared.push_back(shared_plan(own, slots, memory, kernels, choice));
    plan.workspace_bytes = std::max(plan.workspace_bytes, plan.shared.back().workspace_bytes);
  }
  return plan;
}

Status mix_varlen_cpu(const MixArgs& args, const CpuVarlenPlan& plan, void* workspace,
                      const Parallel& parallel) {
  return mix_groups(args, plan, workspace, parallel, [](const Group&, const Parallel&) {});
}

Status backward_varlen_cpu(const NormGradArgs& norm, const CpuNormGradPlan& norm_plan,
                           void* norm_workspace, const MixArgs& args, const CpuVarlenPlan& plan,
                           void* workspace, const Parallel& parallel) {
  const NormGradChunks chunks(norm, norm_plan, norm_workspace);
  const auto norm_grad = [&](const Group& group, const Parallel& slots) {
    parallel_ranges(group.chunks, slots, [&](Range range, int) {
      for (int64_t c = range.begin; c < range.end; ++c)
        chunks.run(group.chunk + c, [&](const auto& add) { rows_of_chunk(plan, group, c, add); });
    });
  };
  return mix_groups(args, plan, workspace, parallel, norm_grad);
}

}  // namespace fnet
