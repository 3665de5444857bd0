// The ops on the CPU, and what Python asks about the build.
#include <algorithm>
#include <string>

#include "cpu/api.h"
#include "torch/general_path.h"
#include "torch/ops.h"
#include "torch/plan_text.h"
#include "torch/workspace.h"

namespace fnet::binding {
namespace {

// Below this many elements a slot is not worth waking a thread for.
constexpr int64_t kElementsPerSlot = 1 << 14;

// Elements that the backward pass of one slot takes at a time: their du stays in its L2.
constexpr int64_t kBackwardSlice = 1 << 19;

// Slots on torch's own pool. Each writes to its own scratch, so a nested call may run them one by
// one.
Parallel torch_parallel(int64_t elements) {
  const int64_t threads = torch::stable::get_num_threads();
  const int slots = int(std::clamp<int64_t>(elements / kElementsPerSlot, 1, threads));
  return Parallel(slots, [](int count, Parallel::Body body, void* context) {
    if (count == 1) return body(context, 0);
    torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t slot = begin; slot < end; ++slot) body(context, int(slot));
    });
  });
}

Parallel mix_parallel(const MixArgs& args) {
  return torch_parallel(args.batch * args.seq * args.hidden);
}

// The general path's kernels.
struct CpuHalves {
  const CpuPlan& plan;
  const Parallel& parallel;

  size_t workspace(const MixArgs&) const { return plan.workspace_bytes; }
  void widen(const MixArgs& args, void* wide) const { widen_rows_cpu(args, wide, parallel); }
  void finish(const MixArgs& args, const void* spectrum, void* workspace) const {
    mix_from_spectrum_cpu(args, plan, spectrum, workspace, parallel);
  }
};

struct Cpu {
  static constexpr int64_t kAlignment = 1;
  static constexpr bool kReadsWideAffine = true;
  struct Scope {
    explicit Scope(const Tensor&) {}
  };

  static void mix(const MixArgs& args, const Tensor& like) {
    const Parallel parallel = mix_parallel(args);
    mix_part(args, plan_cpu(args, parallel.slots()), 0, args.batch, parallel, like);
  }

  static void mix_part(const MixArgs& args, const CpuPlan& plan, int64_t begin, int64_t end,
                       const Parallel& parallel, const Tensor& like) {
    if (plan.path == Path::kGeneral)
      return mix_by_torch_fft(part_of(args, begin, end), like, CpuHalves{plan, parallel});
    const Workspace workspace(plan.workspace_bytes);
    const Status status = mix_part_cpu(args, plan, begin, end, workspace.data(), parallel);
    STD_TORCH_CHECK(status == Status::kOk, "fourier_mix: kernels refused shape [", args.batch, ", ",
                    args.seq, ", ", args.hidden, "] with status ", int(status));
  }

  // A few sequences at a time, while their du is in the caches; chunks of rows may run a little
  // ahead of them.
  static void backward(const NormGradArgs& norm, MixArgs args, const void* rstd,
                       const Tensor& like) {
    const Parallel parallel = mix_parallel(args);
    const CpuPlan plan = plan_cpu(args, parallel.slots());
    const CpuNormGradPlan norm_plan = plan_norm_grad_cpu(norm, *plan.kernels);
    const Tensor workspace = new_bytes(like, norm_plan.workspace_bytes);
    const int64_t slice =
        plan.sequences() *
        std::max<int64_t>(1, kBackwardSlice / std::max<int64_t>(1, args.seq * args.hidden));
    args.row_scale = rstd;
    int64_t done = 0;
    for (int64_t begin = 0; begin < args.batch; begin += slice) {
      const int64_t end = std::min(begin + slice, args.batch);
      const int64_t needed = (end * args.seq + norm_plan.chunk_rows - 1) / norm_plan.chunk_rows;
      norm_grad_part_cpu(norm, norm_plan, done, needed, workspace.mutable_data_ptr(), parallel);
      done = needed;
      if (!is_empty(args)) mix_part(args, plan, begin, end, parallel, like);
    }
    norm_grad_sums_cpu(norm, norm_plan, workspace.mutable_data_ptr());
  }
};

MixArgs shape_of(const char* op, int64_t batch, int64_t seq, int64_t hidden, ScalarType type) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of(op, type);
  return args;
}

int64_t bytes_of(const MixArgs& args, const CpuPlan& plan, const Parallel& parallel) {
  if (is_empty(args)) return 0;
  return plan.path == Path::kKernels ? int64_t(plan.workspace_bytes)
                                     : general_path_bytes(args, CpuHalves{plan, parallel});
}

int64_t workspace_bytes(int64_t batch, int64_t seq, int64_t hidden, ScalarType type) {
  const MixArgs args = shape_of("workspace_bytes", batch, seq, hidden, type);
  const Parallel parallel = mix_parallel(args);
  return bytes_of(args, plan_cpu(args, parallel.slots()), parallel);
}

std::string cpu_plan(int64_t batch, int64_t seq, int64_t hidden, ScalarType type) {
  const MixArgs args = shape_of("cpu_plan", batch, seq, hidden, type);
  const Parallel parallel = mix_parallel(args);
  const CpuPlan plan = plan_cpu(args, parallel.slots());
  PlanText text(plan.path, plan.reason);
  text.add("seq_radices", cpu_radices(seq)).add("hidden_radices", cpu_radices(hidden));
  text.add("isa", cpu_isa()).add("slots", plan.slots).add("sequences", plan.sequences());
  return text.add("workspace_bytes", bytes_of(args, plan, parallel)).str();
}

std::string isa() { return cpu_isa(); }
std::string isas() { return cpu_isas(); }
void set_isa(std::string name) {
  STD_TORCH_CHECK(set_cpu_isa(name.c_str()), "set_cpu_isa: expected auto or one of ", cpu_isas(),
                  ", got ", name);
}

}  // namespace
}  // namespace fnet::binding

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CPU, m) {
  using namespace fnet::binding;
  m.impl("fourier_mix", TORCH_BOX(&fourier_mix<Cpu>));
  m.impl("fused_fourier_mix", TORCH_BOX(&fused_fourier_mix<Cpu>));
  m.impl("fused_fourier_mix_train", TORCH_BOX(&fused_fourier_mix_train<Cpu>));
  m.impl("fused_fourier_mix_backward", TORCH_BOX(&fused_fourier_mix_backward<Cpu>));
}

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CompositeExplicitAutograd, m) {
  using namespace fnet::binding;
  m.impl("workspace_bytes", TORCH_BOX(&workspace_bytes));
  m.impl("cpu_plan", TORCH_BOX(&cpu_plan));
  m.impl("cpu_isa", TORCH_BOX(&isa));
  m.impl("cpu_isas", TORCH_BOX(&isas));
  m.impl("set_cpu_isa", TORCH_BOX(&set_isa));
  m.impl("stream_bytes", TORCH_BOX(&fnet::stream_bytes));
  m.impl("set_stream_bytes", TORCH_BOX(&fnet::set_stream_bytes));
}
