// The ops on CUDA devices: on the current stream, without waiting, and with memory from torch's
// allocator alone, so that a CUDA graph can capture them.
#include <torch/csrc/stable/accelerator.h>

#include "cuda/lengths.h"
#include "torch/general_path.h"
#include "torch/ops.h"
#include "torch_cuda/runtime.h"

namespace fnet::binding {
namespace {

void check(Status status, const CudaQueue& queue, const MixArgs& args) {
  if (status == Status::kOk) return;
  STD_TORCH_CHECK(status == Status::kLaunchFailed, "fourier_mix on CUDA: kernels refused shape [",
                  args.batch, ", ", args.seq, ", ", args.hidden, "] with status ", int(status));
  STD_TORCH_CHECK(
      !cuda::is_missing_architecture(queue.error),
      "fourier_mix on CUDA: this build of fnet_kernels has no kernels for this device (",
      cuda::error_text(queue.error),
      "): build it on this machine, or name the device's compute capability in "
      "TORCH_CUDA_ARCH_LIST");
  STD_TORCH_CHECK(false, "fourier_mix on CUDA: a kernel for shape [", args.batch, ", ", args.seq,
                  ", ", args.hidden, "] was not launched: ", cuda::error_text(queue.error));
}

CudaQueue current_queue(const Tensor& like) {
  CudaQueue queue;
  TORCH_ERROR_CODE_CHECK(
      aoti_torch_get_current_cuda_stream(like.get_device_index(), &queue.stream));
  queue.l2_bytes = cuda::l2_bytes();
  return queue;
}

// The general path's kernels, around cuFFT as torch calls it, with torch's plan cache.
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

struct Cuda {
  static constexpr int64_t kAlignment = 16;
  struct Scope {
    explicit Scope(const Tensor& x) : guard(x.get_device_index()) {}
    torch::stable::accelerator::DeviceGuard guard;
  };

  static void mix(const MixArgs& args, const Tensor& like) {
    const CudaQueue queue = current_queue(like);
    if (!has_cuda_kernels(args)) return mix_by_torch_fft(args, like, CudaHalves{queue});
    const Tensor workspace = new_bytes(like, mix_cuda_workspace(args, queue.l2_bytes));
    check(mix_cuda(args, workspace.mutable_data_ptr(), queue), queue, args);
  }

  static void backward(NormGradArgs norm, MixArgs args, const void* rstd, const Tensor& like) {
    const CudaQueue queue = current_queue(like);
    norm.rstd = rstd;
    if (has_cuda_kernels(args) && !is_empty(args)) {
      const Tensor workspace =
          new_bytes(like, norm_mix_grad_cuda_workspace(norm, args, queue.l2_bytes));
      check(norm_mix_grad_cuda(norm, args, workspace.mutable_data_ptr(), queue), queue, args);
      return;
    }
    // float16 cannot hold du, which is grad over the deviation of a row: there the factor comes
    // with the rows.
    if (args.dtype == DType::kFloat16) std::swap(norm.rstd, args.row_scale);
    const Tensor workspace = new_bytes(like, norm_grad_cuda_workspace(norm));
    check(norm_grad_cuda(norm, workspace.mutable_data_ptr(), queue), queue, args);
    if (!is_empty(args)) mix(args, like);
  }
};

// How a shape is taken: the workspace of a call in bytes; and, where there are kernels for it, of
// seq_fft the points of a thread, threads of a block, column pairs of a block; of row_fft the
// points of a thread and the threads of a line; the number of radices of seq, those, and those of
// hidden.
std::vector<int64_t> cuda_plan(int64_t batch, int64_t seq, int64_t hidden, ScalarType type,
                               int64_t l2_bytes) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of("cuda_plan", type);
  if (is_empty(args)) return {0};
  if (!has_cuda_kernels(args)) return {general_path_bytes(args, CudaHalves{CudaQueue{}})};
  std::vector<int64_t> plan = {int64_t(mix_cuda_workspace(args, l2_bytes))};
  const auto append = [&](std::initializer_list<int64_t> more) { plan.insert(plan.end(), more); };
  const auto append_radices = [&](const LineShape& line) {
    plan.insert(plan.end(), line.radix, line.radix + line.stages());
  };
  visit_shape<kSeqShapes>(seq, [&](auto i) {
    constexpr SeqShape shape = kSeqShapes[i.value];
    append({shape.line.points, shape.line.threads() * shape.lines, shape.lines});
    visit_shape<kRowShapes>(hidden, [&](auto k) {
      constexpr LineShape line = kRowShapes[k.value];
      append({line.points, line.threads(), shape.line.stages()});
      append_radices(shape.line);
      append_radices(line);
    });
  });
  return plan;
}

}  // namespace
}  // namespace fnet::binding

STABLE_TORCH_LIBRARY_FRAGMENT(fnet_kernels, m) {
  // See cuda_plan in csrc/torch_cuda.
  m.def("cuda_plan(int batch, int seq, int hidden, ScalarType dtype, int l2_bytes) -> int[]");
}

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CompositeExplicitAutograd, m) {
  m.impl("cuda_plan", TORCH_BOX(&fnet::binding::cuda_plan));
}

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CUDA, m) {
  using namespace fnet::binding;
  m.impl("fourier_mix", TORCH_BOX(&fourier_mix<Cuda>));
  m.impl("fused_fourier_mix", TORCH_BOX(&fused_fourier_mix<Cuda>));
  m.impl("fused_fourier_mix_train", TORCH_BOX(&fused_fourier_mix_train<Cuda>));
  m.impl("fused_fourier_mix_backward", TORCH_BOX(&fused_fourier_mix_backward<Cuda>));
}
