// The mix on a CUDA device, forward and backward: launches the kernels for each slice.
#include <algorithm>
#include <iterator>

#include "cuda/api.h"
#include "cuda/kernels.h"

namespace fnet {
namespace {

constexpr int64_t kAlign = 16;

bool is_aligned(const void* p) { return reinterpret_cast<intptr_t>(p) % kAlign == 0; }

Status status_of(int error, const CudaQueue& queue) {
  queue.error = error;
  return error ? Status::kLaunchFailed : Status::kOk;
}

// Runs body(T{}), which returns a runtime error, for the dtypes that have kernels.
template <class F>
Status run_own_dtype(DType dtype, const CudaQueue& queue, const F& body) {
  switch (dtype) {
    case DType::kFloat32: return status_of(body(float()), queue);
    case DType::kBFloat16: return status_of(body(BFloat16()), queue);
    case DType::kFloat16: return status_of(body(Float16()), queue);
    default: return Status::kUnsupportedDType;
  }
}

Status status_of(const CudaPlan& plan) {
  if (plan.path == Path::kKernels) return Status::kOk;
  return plan.reason == Reason::kDType ? Status::kUnsupportedDType : Status::kUnsupportedLength;
}

Status status_of(const MixArgs& args, const CudaPlan& plan) {
  if (args.row_scale && args.dtype != DType::kFloat16) return Status::kUnsupportedRowScale;
  if (args.residual || args.norm_first || args.norm != NormType::kLayer)
    return Status::kUnsupportedBlock;
  if (const Status status = status_of(plan); status != Status::kOk) return status;
  return is_aligned_for_cuda(args) ? Status::kOk : Status::kMisaligned;
}

template <class P>
P* offset_elements(P* p, int64_t elements) {
  return p ? p + elements : nullptr;
}

Order order_of(const CudaPlan& plan, bool follows) {
  return plan.overlaps && follows ? Order::kOverlaps : Order::kAfter;
}

// x_is_new: the kernel that writes x was launched just before.
template <class T>
int run_seq_fft(const MixArgs& args, const CudaPlan& plan, int64_t slice, bool x_is_new,
                void* spectrum, const CudaQueue& queue) {
  const int64_t b = plan.slices.begin(slice);
  SeqFftArgs<T> seq;
  seq.x = static_cast<const T*>(args.x) + b * args.x_batch_stride;
  seq.batch_stride = args.x_batch_stride;
  seq.row_stride = args.x_row_stride;
  seq.spectrum = static_cast<Complex<float>*>(spectrum);
  seq.batch = plan.slices.size(slice);
  seq.seq = int(args.seq), seq.hidden = int(args.hidden), seq.pitch = spectrum_pitch(seq.hidden);
  seq.row_scale = offset_elements(static_cast<const float*>(args.row_scale), b * args.seq);
  seq.x_is_new = x_is_new;
  const bool follows = x_is_new || slice > 0;
  return launch_seq_fft(seq, plan.seq_shape, order_of(plan, follows), queue.stream);
}

template <class T>
int run_row_fft(const MixArgs& args, const CudaPlan& plan, int64_t slice, Order order,
                const void* spectrum, const CudaQueue& queue) {
  const int64_t b = plan.slices.begin(slice), rows = b * args.seq, elements = rows * args.hidden;
  RowFftArgs<T> row;
  row.spectrum = static_cast<const Complex<float>*>(spectrum);
  row.batch = plan.slices.size(slice);
  row.seq = int(args.seq), row.hidden = int(args.hidden), row.pitch = spectrum_pitch(row.hidden);
  row.x = static_cast<const T*>(args.x) + b * args.x_batch_stride;
  row.batch_stride = args.x_batch_stride;
  row.row_stride = args.x_row_stride;
  row.row_scale = offset_elements(static_cast<const float*>(args.row_scale), rows);
  row.epilogue = args.epilogue;
  row.scale = float(args.scale / 4);
  row.eps = float(args.eps);
  row.weight = static_cast<const T*>(args.weight);
  row.bias = static_cast<const T*>(args.bias);
  row.y = static_cast<T*>(args.y) + elements;
  row.normalized = offset_elements(static_cast<T*>(args.normalized), elements);
  row.rstd = offset_elements(static_cast<float*>(args.rstd), rows);
  return launch_row_fft(row, plan.row_shape, order, queue.stream);
}

// Both kernels of a slice. The first one may not follow a kernel of another call.
template <class T>
int run_slice(const MixArgs& args, const CudaPlan& plan, int64_t slice, bool x_is_new,
              void* spectrum, const CudaQueue& queue) {
  if (const int error = run_seq_fft<T>(args, plan, slice, x_is_new, spectrum, queue)) return error;
  return run_row_fft<T>(args, plan, slice, order_of(plan, true), spectrum, queue);
}

// float16 cannot hold du, which is grad divided by the deviation of a row: there norm_grad stores
// du / rstd, and the mix multiplies each row by rstd.
template <class T>
int run_norm_mix_grad(const NormGradArgs& norm, const MixArgs& mix, const CudaGradPlan& plan,
                      void* workspace, const CudaQueue& queue) {
  MixArgs args = mix;
  args.epilogue = Epilogue::kResidual;
  args.x = args.y;
  args.x_row_stride = args.hidden, args.x_batch_stride = args.seq * args.hidden;
  if (kHasRowScale<T>) args.row_scale = norm.rstd;
  const bool sums = norm.dweight || norm.dbias;
  auto* partials = reinterpret_cast<float*>(static_cast<char*>(workspace) + plan.partials);
  int64_t chunks = 0;
  for (int64_t i = 0; i < plan.slices.count; ++i) {
    const int64_t row = plan.slices.begin(i) * args.seq, element = row * args.hidden;
    NormGradArgs slice = norm;
    slice.rows = plan.slices.size(i) * args.seq, slice.hidden = args.hidden;
    slice.grad = static_cast<const T*>(norm.grad) + element;
    slice.normalized = static_cast<const T*>(norm.normalized) + element;
    slice.rstd = kHasRowScale<T> ? nullptr : static_cast<const float*>(norm.rstd) + row;
    slice.du = static_cast<T*>(args.y) + element;
    float* to = sums ? partials + chunks * 2 * args.hidden : nullptr;
    if (const int error = launch_norm_grad<T>(slice, to, order_of(plan, i > 0), queue.stream))
      return error;
    if (const int error = run_slice<T>(args, plan, i, true, workspace, queue)) return error;
    chunks += norm_grad_chunks(slice.rows);
  }
  if (!sums) return 0;
  return launch_add_chunks<T>(partials, chunks, args.hidden, static_cast<T*>(norm.dweight),
                              static_cast<T*>(norm.dbias), queue.stream);
}

}  // namespace

bool is_aligned_for_cuda(const MixArgs& args) {
  const int64_t unit = kAlign / element_size(args.dtype);
  return is_aligned(args.x) && is_aligned(args.y) && is_aligned(args.normalized) &&
         is_aligned(args.weight) && is_aligned(args.bias) && args.x_row_stride % unit == 0 &&
         args.x_batch_stride % unit == 0;
}

Status mix_cuda(const MixArgs& args, const CudaPlan& plan, void* workspace,
                const CudaQueue& queue) {
  if (const Status status = status_of(args, plan); status != Status::kOk) return status;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    using T = decltype(t);
    for (int64_t i = 0; i < plan.slices.count; ++i)
      if (const int error = run_slice<T>(args, plan, i, false, workspace, queue)) return error;
    return 0;
  });
}

Status seq_pass_cuda(const MixArgs& args, const CudaPlan& plan, int64_t slice, void* spectrum,
                     const CudaQueue& queue) {
  if (const Status status = status_of(args, plan); status != Status::kOk) return status;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    return run_seq_fft<decltype(t)>(args, plan, slice, false, spectrum, queue);
  });
}

Status row_pass_cuda(const MixArgs& args, const CudaPlan& plan, int64_t slice, const void* spectrum,
                     const CudaQueue& queue) {
  if (const Status status = status_of(args, plan); status != Status::kOk) return status;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    return run_row_fft<decltype(t)>(args, plan, slice, Order::kAfter, spectrum, queue);
  });
}

Status norm_mix_grad_cuda(const NormGradArgs& norm, const MixArgs& args, const CudaGradPlan& plan,
                          void* workspace, const CudaQueue& queue) {
  if (const Status status = status_of(plan); status != Status::kOk) return status;
  const void* const tensors[] = {norm.grad, norm.normalized, norm.weight, args.y};
  if (!std::all_of(std::begin(tensors), std::end(tensors), is_aligned)) return Status::kMisaligned;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    return run_norm_mix_grad<decltype(t)>(norm, args, plan, workspace, queue);
  });
}

size_t norm_grad_cuda_workspace(const NormGradArgs& args) {
  if (!args.dweight && !args.dbias) return 0;
  return size_t(norm_grad_chunks(args.rows) * 2 * args.hidden * compute_size(args.dtype));
}

Status norm_grad_cuda(const NormGradArgs& args, void* workspace, const CudaQueue& queue) {
  if (args.hidden == 0) return Status::kOk;
  return visit_dtype(args.dtype, [&](auto t) {
    using T = decltype(t);
    const bool sums = args.dweight || args.dbias;
    auto* partials = sums ? static_cast<Compute<T>*>(workspace) : nullptr;
    int error = 0;
    if (args.rows > 0) error = launch_norm_grad<T>(args, partials, Order::kAfter, queue.stream);
    if (!error && sums)
      error = launch_add_chunks<T>(partials, norm_grad_chunks(args.rows), args.hidden,
                                   static_cast<T*>(args.dweight), static_cast<T*>(args.dbias),
                                   queue.stream);
    return status_of(error, queue);
  });
}

Status widen_rows_cuda(const MixArgs& args, void* wide, const CudaQueue& queue) {
  return visit_dtype(args.dtype, [&](auto t) {
    return status_of(launch_widen_rows<decltype(t)>(args, wide, queue.stream), queue);
  });
}

Status mix_from_spectrum_cuda(const MixArgs& args, const void* spectrum, const CudaQueue& queue) {
  return visit_dtype(args.dtype, [&](auto t) {
    return status_of(launch_spectrum_rows<decltype(t)>(args, spectrum, queue.stream), queue);
  });
}

}  // namespace fnet
