// The ops on the CPU, and what Python asks about the build.
#include <algorithm>
#include <string>

#include "cpu/radices.h"
#include "torch/general_path.h"
#include "torch/ops.h"
#include "torch/workspace.h"

namespace fnet::binding {
namespace {

// Below this many elements a slot is not worth waking a thread for.
constexpr int64_t kElementsPerSlot = 1 << 14;

// Elements that the backward pass of one slot takes at a time: their du stays in its L2.
constexpr int64_t kBackwardSlice = 1 << 19;

// Slots on torch's own pool. Each writes to its own scratch, so a nested call may run them in turn.
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
  const Parallel& parallel;
  const Kernels& kernels = active_kernels();

  size_t workspace(const MixArgs& args) const {
    return mix_cpu_workspace(args, parallel.slots(), kernels);
  }
  void widen(const MixArgs& args, void* wide) const { widen_rows_cpu(args, wide, parallel); }
  void finish(const MixArgs& args, const void* spectrum, void* workspace) const {
    mix_from_spectrum_cpu(args, spectrum, workspace, parallel, kernels);
  }
};

struct Cpu {
  static constexpr int64_t kAlignment = 1;
  struct Scope {
    explicit Scope(const Tensor&) {}
  };

  static void mix(const MixArgs& args, const Tensor& like) {
    mix_part(args, 0, args.batch, mix_parallel(args), like);
  }

  static void mix_part(const MixArgs& args, int64_t begin, int64_t end, const Parallel& parallel,
                       const Tensor& like) {
    if (!has_own_kernels(args))
      return mix_by_torch_fft(part_of(args, begin, end), like, CpuHalves{parallel});
    const Kernels& kernels = active_kernels();
    const Workspace workspace(mix_cpu_workspace(args, parallel.slots(), kernels));
    const Status status = mix_part_cpu(args, begin, end, workspace.data(), parallel, kernels);
    STD_TORCH_CHECK(status == Status::kOk, "fourier_mix: kernels refused shape [", args.batch, ", ",
                    args.seq, ", ", args.hidden, "] with status ", int(status));
  }

  // A few sequences at a time, while their du is in the caches; chunks of rows may run a little
  // ahead of them.
  static void backward(const NormGradArgs& norm, MixArgs args, const void* rstd,
                       const Tensor& like) {
    const Parallel parallel = mix_parallel(args);
    const Tensor workspace = new_bytes(like, norm_grad_cpu_workspace(norm));
    const int64_t slice =
        mix_cpu_sequences(args, parallel.slots()) *
        std::max<int64_t>(1, kBackwardSlice / std::max<int64_t>(1, args.seq * args.hidden));
    const NormGradChunks chunks = norm_grad_chunks(norm);
    args.row_scale = rstd;
    int64_t done = 0;
    for (int64_t begin = 0; begin < args.batch; begin += slice) {
      const int64_t end = std::min(begin + slice, args.batch);
      const int64_t needed = (end * args.seq + chunks.rows - 1) / chunks.rows;
      norm_grad_part_cpu(norm, done, needed, workspace.mutable_data_ptr(), parallel);
      done = needed;
      if (!is_empty(args)) mix_part(args, begin, end, parallel, like);
    }
    norm_grad_sums_cpu(norm, workspace.mutable_data_ptr());
  }
};

int64_t workspace_bytes(int64_t batch, int64_t seq, int64_t hidden, ScalarType type) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of("workspace_bytes", type);
  if (is_empty(args)) return 0;
  const Parallel parallel = mix_parallel(args);
  return has_own_kernels(args) ? int64_t(mix_cpu_workspace(args, parallel.slots()))
                               : general_path_bytes(args, CpuHalves{parallel});
}

std::vector<int64_t> length_radices(int64_t n) {
  const Factors factors = factorise(n);
  return {factors.radix, factors.radix + factors.count};
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
  m.impl("length_radices", TORCH_BOX(&length_radices));
  m.impl("cpu_isa", TORCH_BOX(&isa));
  m.impl("cpu_isas", TORCH_BOX(&isas));
  m.impl("set_cpu_isa", TORCH_BOX(&set_isa));
  m.impl("stream_bytes", TORCH_BOX(&fnet::stream_bytes));
  m.impl("set_stream_bytes", TORCH_BOX(&fnet::set_stream_bytes));
}
