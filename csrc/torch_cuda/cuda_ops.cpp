// The ops on CUDA devices. They run on the current stream, do not wait, and use only memory from
// torch's allocator, so a CUDA graph can capture them.
#include <torch/csrc/stable/accelerator.h>

#include <string>

#include "cuda/api.h"
#include "torch/block_ops.h"
#include "torch/general_path.h"
#include "torch/path_switch.h"
#include "torch/plan_text.h"
#include "torch/registration.h"
#include "torch/varlen_runs.h"

namespace fnet::binding {
namespace {

void check(Status status, const CudaQueue& queue, const MixArgs& args) {
  if (status == Status::kOk) return;
  require(status == Status::kLaunchFailed, "fourier_mix on CUDA: the kernels rejected shape [",
          args.batch, ", ", args.seq, ", ", args.hidden, "] with status ", int(status));
  require(!is_missing_architecture(queue.error),
          "fourier_mix on CUDA: this build of fnet_kernels has no kernels for this device (",
          error_text(queue.error),
          "): build it on this machine, or add the device's compute capability to "
          "TORCH_CUDA_ARCH_LIST");
  fail("fourier_mix on CUDA: a kernel for shape [", args.batch, ", ", args.seq, ", ", args.hidden,
       "] was not launched: ", error_text(queue.error));
}

PathSwitch path_switch;

void set_cuda_path(std::string path) { path_switch.set("set_cuda_path", path); }

CudaQueue current_queue(const Tensor& like) {
  CudaQueue queue;
  TORCH_ERROR_CODE_CHECK(
      aoti_torch_get_current_cuda_stream(like.get_device_index(), &queue.stream));
  return queue;
}

// The general path's kernels. torch calls cuFFT between them and caches its plans.
struct CudaHalves {
  const CudaQueue& queue;

  size_t workspace(const MixArgs&) const { return 0; }
  void widen(const MixArgs& args, void* wide) const {
    check(widen_rows_cuda(args, wide, queue), queue, args);
  }
  void finish(const MixArgs& args, const void* spectrum, void*) const {
    check(mix_from_spectrum_cuda(args, spectrum, queue), queue, args);
  }
};

struct Cuda : VarlenByRuns<Cuda> {
  static constexpr int64_t kAlignment = 16;
  static constexpr bool kReadsWideAffine = false;
  struct Scope {
    explicit Scope(const Tensor& x) : guard(x.get_device_index()) {}
    torch::stable::accelerator::DeviceGuard guard;
  };

  static void mix(const MixArgs& args, const Tensor& like) {
    const CudaQueue queue = current_queue(like);
    const CudaPlan plan = path_switch.apply(plan_cuda(args, current_device()));
    if (plan.path == Path::kGeneral) return mix_by_torch_fft(args, like, CudaHalves{queue});
    const Tensor workspace = new_bytes(like, plan.workspace_bytes);
    check(mix_cuda(args, plan, workspace.mutable_data_ptr(), queue), queue, args);
  }

  static void mix_varlen(const MixArgs& args, const Sequences& sequences, const Tensor& like) {
    clear_rows_past(args, sequences, like);
    CudaVarlenPlan plan;
    if (path_switch.general())
      plan.others = sequences;
    else
      plan = plan_varlen_cuda(args, sequences, current_device());
    if (!plan.groups.empty()) {
      const CudaQueue queue = current_queue(like);
      const Tensor workspace = new_bytes(like, plan.workspace_bytes);
      check(mix_varlen_cuda(args, plan, workspace.mutable_data_ptr(), queue), queue, args);
    }
    mix_runs(args, plan.others, like);
  }

  static void clear_rows_past(const MixArgs& args, const Sequences& sequences, const Tensor& like) {
    const CudaQueue queue = current_queue(like);
    check(clear_rows_past_cuda(args, sequences, queue), queue, args);
  }

  static void backward(NormGradArgs norm, MixArgs args, const void* rstd, const Tensor& like) {
    const CudaQueue queue = current_queue(like);
    if (!norm.mean) norm.rstd = rstd;
    CudaGradPlan plan;
    if (!is_empty(args)) plan = path_switch.apply(plan_cuda_grad(norm, args, current_device()));
    if (plan.path == Path::kKernels) {
      const Tensor workspace = new_bytes(like, plan.workspace_bytes);
      check(norm_mix_grad_cuda(norm, args, plan, workspace.mutable_data_ptr(), queue), queue, args);
      return;
    }
    if (norm.mean) {
      if (!is_empty(args)) mix(args, like);
      return norm_grad(norm, like);
    }
    // float16 cannot hold du, which is grad divided by the deviation of a row. The mix multiplies
    // each row by rstd instead.
    if (args.dtype == DType::kFloat16) std::swap(norm.rstd, args.row_scale);
    norm_grad(norm, like);
    if (!is_empty(args)) mix(args, like);
  }

  // The norm's gradient of all rows.
  static void norm_grad(const NormGradArgs& norm, const Tensor& like) {
    const CudaQueue queue = current_queue(like);
    MixArgs shape;
    shape.batch = 1, shape.seq = norm.rows, shape.hidden = norm.hidden;
    const Tensor workspace = new_bytes(like, norm_grad_cuda_workspace(norm));
    check(norm_grad_cuda(norm, workspace.mutable_data_ptr(), queue), queue, shape);
  }
};

std::string cuda_plan(int64_t batch, int64_t seq, int64_t hidden, ScalarType type,
                      int64_t processors, int64_t shared_bytes, int64_t l2_bytes) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of("cuda_plan", type);
  CudaPlan plan;
  if (!is_empty(args))
    plan = path_switch.apply(plan_cuda(args, {int(processors), int(shared_bytes), l2_bytes}));
  int64_t bytes = int64_t(plan.workspace_bytes);
  if (plan.path == Path::kGeneral)
    bytes = is_empty(args) ? 0 : general_path_bytes(args, CudaHalves{CudaQueue{}});
  const auto radices = [](const CudaRadices& list) {
    return std::vector<int>(list.radix, list.radix + list.count);
  };
  PlanText text(plan.path, plan.reason);
  text.add("needed_shared_bytes", plan.needed_shared_bytes);
  text.add("seq_radices", radices(plan.seq_radices));
  text.add("hidden_radices", radices(plan.hidden_radices));
  text.add("seq_fft_points", plan.seq_fft_points).add("seq_fft_threads", plan.seq_fft_threads);
  text.add("seq_fft_pairs", plan.seq_fft_pairs);
  text.add("row_fft_points", plan.row_fft_points).add("row_fft_threads", plan.row_fft_threads);
  return text.add("slices", plan.slices.count).add("workspace_bytes", bytes).str();
}

}  // namespace
}  // namespace fnet::binding

STABLE_TORCH_LIBRARY_FRAGMENT(fnet_kernels, m) {
  // The plan of a shape on a device, as a JSON object.
  m.def(
      "cuda_plan(int batch, int seq, int hidden, ScalarType dtype, int processors, "
      "int shared_bytes, int l2_bytes) -> str");
  // "general" makes later calls take the general path for every shape; "auto" is the default.
  m.def("set_cuda_path(str path) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CompositeExplicitAutograd, m) {
  using namespace fnet::binding;
  m.impl("cuda_plan", TORCH_BOX(&Guarded<&cuda_plan>::call));
  m.impl("set_cuda_path", TORCH_BOX(&Guarded<&set_cuda_path>::call));
}

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CUDA, m) {
  fnet::binding::implement<fnet::binding::Cuda>(m);
}
