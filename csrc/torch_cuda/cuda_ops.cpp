// The ops on CUDA devices: on the current stream, without waiting, and with memory from torch's
// allocator alone, so that a CUDA graph can capture them.
#include <torch/csrc/stable/accelerator.h>

#include <atomic>
#include <string>

#include "cuda/blocks.h"
#include "cuda/runtime.h"
#include "torch/general_path.h"
#include "torch/ops.h"

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

// Whether shapes that have kernels take the general path too: to measure one against the other, and
// to test it.
std::atomic<bool> general_path_only = false;

bool takes_kernels(const MixArgs& args, const CudaDevice& device) {
  return !general_path_only.load(std::memory_order_relaxed) && has_cuda_kernels(args, device);
}

void set_cuda_path(std::string path) {
  STD_TORCH_CHECK(path == "auto" || path == "general",
                  "set_cuda_path: expected auto or general, got ", path);
  general_path_only.store(path == "general", std::memory_order_relaxed);
}

CudaQueue current_queue(const Tensor& like) {
  CudaQueue queue;
  TORCH_ERROR_CODE_CHECK(
      aoti_torch_get_current_cuda_stream(like.get_device_index(), &queue.stream));
  queue.device = cuda::current_device();
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
    if (!takes_kernels(args, queue.device)) return mix_by_torch_fft(args, like, CudaHalves{queue});
    const Tensor workspace = new_bytes(like, mix_cuda_workspace(args, queue.device));
    check(mix_cuda(args, workspace.mutable_data_ptr(), queue), queue, args);
  }

  static void backward(NormGradArgs norm, MixArgs args, const void* rstd, const Tensor& like) {
    const CudaQueue queue = current_queue(like);
    norm.rstd = rstd;
    if (takes_kernels(args, queue.device) && !is_empty(args)) {
      const Tensor workspace =
          new_bytes(like, norm_mix_grad_cuda_workspace(norm, args, queue.device));
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

constexpr int64_t kAnySharedBytes = int64_t(1) << 30;

// Shared memory of the smallest block that a kernel along seq has for that length, or 0.
template <class T, SeqKernel Kernel>
int64_t least_of_seq(int64_t seq) {
  int64_t least = 0, limit = kAnySharedBytes;
  while (visit_seq_shape<T, Kernel>(seq, limit, [&](auto i) {
    least = SeqBlock<T, i>::kSharedBytes;
    limit = least - 1;
  })) {
  }
  return least;
}

// Bytes of shared memory that a device must give a block for these lengths; 0 where no device's
// would do.
template <class T>
int64_t least_shared_bytes(int64_t seq, int64_t hidden) {
  const int64_t of_columns =
      std::max(least_of_seq<T, SeqKernel::kFft>(seq), least_of_seq<T, SeqKernel::kGrad>(seq));
  int64_t of_rows = 0;
  visit_row_shape(hidden, kAnySharedBytes,
                  [&](auto i) { of_rows = RowGradBlock<i>::kSharedBytes; });
  return of_columns && of_rows ? std::max(of_columns, of_rows) : 0;
}

// How a device takes a shape: the workspace of a call in bytes; then, without kernels, the shared
// memory of a block that would be needed, or 0, or -1 after set_cuda_path. With kernels: the slices
// of the batch; of seq_fft the points of a thread, threads of a block, column pairs of a block; of
// row_fft the points of a thread and the threads of a line; the number of radices of seq, those, of
// which the last is row_fft's, and those of hidden.
template <class T>
std::vector<int64_t> plan_of(const MixArgs& args, const CudaDevice& device) {
  if (!takes_kernels(args, device)) {
    int64_t needed = 0;
    if (has_cuda_kernels(args, device))
      needed = -1;
    else if (args.dtype != DType::kFloat64)
      needed = least_shared_bytes<T>(args.seq, args.hidden);
    return {general_path_bytes(args, CudaHalves{CudaQueue{}}), needed};
  }
  std::vector<int64_t> plan = {int64_t(mix_cuda_workspace(args, device)),
                               mix_cuda_slices(args, device)};
  const auto append = [&](std::initializer_list<int64_t> more) { plan.insert(plan.end(), more); };
  const auto append_radices = [&](const LineShape& line) {
    plan.insert(plan.end(), line.radix, line.radix + line.stages());
  };
  visit_seq_shape<T, SeqKernel::kFft>(args.seq, device.shared_bytes, [&](auto i) {
    using Seq = SeqBlock<T, i>;
    append({Seq::kLine.points, Seq::kThreads, Seq::kLines});
    visit_row_shape(args.hidden, device.shared_bytes, [&](auto k) {
      using Row = RowBlock<k>;
      append({Row::kPoints, Row::kLanes, Seq::kLine.stages() + 1});
      append_radices(Seq::kLine);
      append({2});
      append_radices(Row::kLine);
    });
  });
  return plan;
}

std::vector<int64_t> cuda_plan(int64_t batch, int64_t seq, int64_t hidden, ScalarType type,
                               int64_t processors, int64_t shared_bytes, int64_t l2_bytes) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of("cuda_plan", type);
  if (is_empty(args)) return {0, 0};
  const CudaDevice device = {int(processors), int(shared_bytes), l2_bytes};
  return element_size(args.dtype) == 2 ? plan_of<BFloat16>(args, device)
                                       : plan_of<float>(args, device);
}

}  // namespace
}  // namespace fnet::binding

STABLE_TORCH_LIBRARY_FRAGMENT(fnet_kernels, m) {
  // See plan_of.
  m.def(
      "cuda_plan(int batch, int seq, int hidden, ScalarType dtype, int processors, "
      "int shared_bytes, int l2_bytes) -> int[]");
  // "general": every shape takes the general path, in the calls that begin from now on; or "auto".
  m.def("set_cuda_path(str path) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CompositeExplicitAutograd, m) {
  m.impl("cuda_plan", TORCH_BOX(&fnet::binding::cuda_plan));
  m.impl("set_cuda_path", TORCH_BOX(&fnet::binding::set_cuda_path));
}

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CUDA, m) {
  using namespace fnet::binding;
  m.impl("fourier_mix", TORCH_BOX(&fourier_mix<Cuda>));
  m.impl("fused_fourier_mix", TORCH_BOX(&fused_fourier_mix<Cuda>));
  m.impl("fused_fourier_mix_train", TORCH_BOX(&fused_fourier_mix_train<Cuda>));
  m.impl("fused_fourier_mix_backward", TORCH_BOX(&fused_fourier_mix_backward<Cuda>));
}
