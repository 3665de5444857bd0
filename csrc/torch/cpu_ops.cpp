// The ops on the CPU, and queries about plans and instruction sets.
#include <algorithm>
#include <atomic>
#include <new>
#include <string>

#include "cpu/api.h"
#include "torch/block_ops.h"
#include "torch/general_path.h"
#include "torch/path_switch.h"
#include "torch/plan_text.h"
#include "torch/registration.h"
#include "torch/varlen_runs.h"
#include "torch/workspace.h"

namespace fnet::binding {
namespace {

// A slot with fewer elements does not justify waking a thread.
constexpr int64_t kElementsPerSlot = 1 << 14;

// Runs slots on torch's thread pool. Each slot has its own scratch, so a nested call may run them
// one by one. A slot that lacks memory for tables says so here: torch would put its own words in
// place of any exception.
Parallel torch_parallel(int64_t elements) {
  const int64_t threads = torch::stable::get_num_threads();
  const int slots = int(std::clamp<int64_t>(elements / kElementsPerSlot, 1, threads));
  return Parallel(slots, [](int count, Parallel::Body body, void* context) {
    if (count == 1) return body(context, 0);
    std::atomic<bool> out_of_memory = false;
    torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      try {
        for (int64_t slot = begin; slot < end; ++slot) body(context, int(slot));
      } catch (const std::bad_alloc&) {
        out_of_memory = true;
      }
    });
    if (out_of_memory) throw std::bad_alloc();
  });
}

Parallel mix_parallel(const MixArgs& args) {
  return torch_parallel(args.batch * args.seq * args.hidden);
}

PathSwitch path_switch;

CpuPlan plan_of(const MixArgs& args, const Parallel& parallel) {
  return plan_cpu(args, parallel.slots(), active_kernels(), {.general = path_switch.general()});
}

CpuVarlenPlan plan_of(const MixArgs& args, const Sequences& sequences, const Parallel& parallel) {
  return plan_varlen_cpu(args, sequences, parallel.slots(), active_kernels(),
                         {.general = path_switch.general()});
}

// The general path's kernels.
struct CpuHalves {
  const CpuPlan& plan;
  const Parallel& parallel;

  size_t workspace(const MixArgs&) const { return plan.workspace_bytes; }
  void widen(const MixArgs& args, void* wide) const { widen_rows_cpu(args, plan, wide, parallel); }
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
    mix_part(args, plan_of(args, parallel), 0, args.batch, parallel, like);
  }

  static void mix_part(const MixArgs& args, const CpuPlan& plan, int64_t begin, int64_t end,
                       const Parallel& parallel, const Tensor& like) {
    if (plan.path == Path::kGeneral)
      return mix_by_torch_fft(part_of(args, begin, end), like, CpuHalves{plan, parallel});
    const Workspace workspace(plan.workspace_bytes);
    const Status status = mix_part_cpu(args, plan, begin, end, workspace.data(), parallel);
    require(status == Status::kOk, "fourier_mix: the kernels rejected shape [", args.batch, ", ",
            args.seq, ", ", args.hidden, "] with status ", int(status));
  }

  static void backward(const NormGradArgs& norm, MixArgs args, const void* rstd,
                       const Tensor& like) {
    const Parallel parallel = mix_parallel(args);
    const CpuPlan plan = plan_of(args, parallel);
    args.row_scale = rstd;
    const auto mix_slice = [&](int64_t begin, int64_t end) {
      if (!is_empty(args)) mix_part(args, plan, begin, end, parallel, like);
    };
    if (backward_slice(args, plan) >= args.batch) {
      if (!norm.mean) norm_grad(norm, like);
      mix_slice(0, args.batch);
      if (norm.mean) norm_grad(norm, like);
      return;
    }
    const CpuNormGradPlan norm_plan = plan_norm_grad_cpu(norm, *plan.kernels);
    const Tensor workspace = new_bytes(like, norm_plan.workspace_bytes);
    backward_cpu(norm, norm_plan, workspace.mutable_data_ptr(), args, plan, parallel, mix_slice);
  }

  // LayerNorm's gradient of all rows.
  static void norm_grad(const NormGradArgs& norm, const Tensor& like) {
    const Parallel parallel = torch_parallel(norm.rows * norm.hidden);
    const CpuNormGradPlan plan = plan_norm_grad_cpu(norm);
    const Tensor workspace = new_bytes(like, plan.workspace_bytes);
    norm_grad_cpu(norm, plan, workspace.mutable_data_ptr(), parallel);
  }

  static void mix_varlen(const MixArgs& args, const Sequences& sequences, const Tensor& like) {
    if (path_switch.runs()) return VarlenByRuns<Cpu>::mix_varlen(args, sequences, like);
    const Parallel parallel = mix_parallel(args);
    const CpuVarlenPlan plan = plan_of(args, sequences, parallel);
    const Workspace workspace(plan.workspace_bytes);
    check(mix_varlen_cpu(args, plan, workspace.data(), parallel));
    mix_others(args, plan, like);
  }

  static void backward_varlen(const NormGradArgs& norm, MixArgs args, const Sequences& sequences,
                              const void* rstd, const Tensor& like) {
    if (path_switch.runs())
      return VarlenByRuns<Cpu>::backward_varlen(norm, args, sequences, rstd, like);
    const Parallel parallel = mix_parallel(args);
    const CpuVarlenPlan plan = plan_of(args, is_empty(args) ? Sequences{} : sequences, parallel);
    const CpuNormGradPlan norm_plan = plan_norm_grad_varlen_cpu(norm, plan);
    const Tensor sums = new_bytes(like, norm_plan.workspace_bytes);
    args.row_scale = rstd;
    {
      const Workspace workspace(plan.workspace_bytes);
      check(backward_varlen_cpu(norm, norm_plan, sums.mutable_data_ptr(), args, plan,
                                workspace.data(), parallel));
    }
    mix_others(args, plan, like);
  }

  static void clear_rows_past(const MixArgs& args, const Sequences& sequences, const Tensor& like) {
    fill_rows_past(args, sequences, like);
  }

 private:
  static void check(Status status) {
    require(status == Status::kOk,
            "fourier_mix_varlen: the kernels rejected a sequence with status ", int(status));
  }

  // The sequences whose lengths take the general path.
  static void mix_others(const MixArgs& args, const CpuVarlenPlan& plan, const Tensor& like) {
    for (size_t i = 0; i < plan.sequences.size(); ++i) {
      const CpuPlan* own = plan.plan_of(int64_t(i));
      if (own && own->path == Path::kGeneral) mix(args_of(args, plan.sequences[i]), like);
    }
  }
};

MixArgs shape_of(const char* op, int64_t batch, int64_t seq, int64_t hidden, ScalarType type) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of(op, type);
  require(has_valid_sizes(args), op,
          ": expected sizes that are not negative, of at most 2^56 elements, got [", batch, ", ",
          seq, ", ", hidden, "]");
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
  return bytes_of(args, plan_of(args, parallel), parallel);
}

std::string cpu_plan(int64_t batch, int64_t seq, int64_t hidden, ScalarType type) {
  const MixArgs args = shape_of("cpu_plan", batch, seq, hidden, type);
  const Parallel parallel = mix_parallel(args);
  const CpuPlan plan = plan_of(args, parallel);
  PlanText text(plan.path, plan.reason);
  const LineStages along_seq = seq_stages(args, plan), along_hidden = hidden_stages(args, plan);
  text.add("seq_radices", along_seq.radices).add("hidden_radices", along_hidden.radices);
  text.add("seq_stages", along_seq.text.c_str()).add("hidden_stages", along_hidden.text.c_str());
  text.add("lanes", name_of(plan.scheme));
  text.add("isa", cpu_isa()).add("slots", plan.slots).add("sequences", plan.sequences);
  return text.add("workspace_bytes", bytes_of(args, plan, parallel)).str();
}

std::string cpu_varlen_plan(std::vector<int64_t> lengths, int64_t round_to, int64_t hidden,
                            ScalarType type) {
  const char* op = "cpu_varlen_plan";
  int64_t rows = 0;
  for (const int64_t length : lengths) rows += length;
  MixArgs args = shape_of(op, 1, rows, hidden, type);
  args.x_row_stride = hidden;
  const Sequences sequences = sequences_of(op, args, {std::move(lengths), round_to}, true);
  const Parallel parallel = mix_parallel(args);
  const CpuVarlenPlan plan = plan_of(args, is_empty(args) ? Sequences{} : sequences, parallel);
  PlanText text(Path::kKernels, Reason::kNone);
  text.add("slots", parallel.slots()).add("shared", int64_t(plan.shared.size()));
  text.add("workers", plan.workers).add("groups", int64_t(plan.groups.size()));
  return text.add("workspace_bytes", int64_t(plan.workspace_bytes)).str();
}

std::string isa() { return cpu_isa(); }
std::string isas() { return cpu_isas(); }
void set_isa(std::string name) {
  require(set_cpu_isa(name.c_str()), "set_cpu_isa: expected auto or one of ", cpu_isas(), ", got ",
          name);
}

void set_path(std::string path) { path_switch.set("set_cpu_path", path); }

void clear_caches() {
  clear_line_plans();
  clear_split_plans();
  clear_real_line_plans();
  Workspace::clear();
}

}  // namespace
}  // namespace fnet::binding

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CPU, m) { fnet::binding::implement<fnet::binding::Cpu>(m); }

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CompositeExplicitAutograd, m) {
  using namespace fnet::binding;
  m.impl("workspace_bytes", TORCH_BOX(&Guarded<&workspace_bytes>::call));
  m.impl("cpu_plan", TORCH_BOX(&Guarded<&cpu_plan>::call));
  m.impl("cpu_varlen_plan", TORCH_BOX(&Guarded<&cpu_varlen_plan>::call));
  m.impl("cpu_isa", TORCH_BOX(&Guarded<&isa>::call));
  m.impl("cpu_isas", TORCH_BOX(&Guarded<&isas>::call));
  m.impl("set_cpu_isa", TORCH_BOX(&Guarded<&set_isa>::call));
  m.impl("set_cpu_path", TORCH_BOX(&Guarded<&set_path>::call));
  m.impl("clear_caches", TORCH_BOX(&Guarded<&clear_caches>::call));
  m.impl("stream_bytes", TORCH_BOX(&Guarded<&fnet::stream_bytes>::call));
  m.impl("set_stream_bytes", TORCH_BOX(&Guarded<&fnet::set_stream_bytes>::call));
}
