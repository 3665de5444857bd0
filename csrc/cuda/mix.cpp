// The mix on a CUDA device, forward and backward: launches the kernels for each slice.
#include <algorithm>
#include <iterator>

#include "cuda/api.h"
#include "cuda/kernels.h"

namespace fnet {
namespace {

constexpr int64_t kAlign = 16;

bool is_aligned(const void* p) { return reinterpret_cast<intptr_t>(p) % kAlign == 0; }

template <class P>
P* offset_elements(P* p, int64_t elements) {
  return p ? p + elements : nullptr;
}

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
  if (args.row_scale) return Status::kUnsupportedRowScale;
  if (args.residual || args.norm_first || args.norm != NormType::kLayer)
    return Status::kUnsupportedBlock;
  if (args.y == args.x) return Status::kInPlace;
  if (const Status status = status_of(plan); status != Status::kOk) return status;
  return is_aligned_for_cuda(args) ? Status::kOk : Status::kMisaligned;
}

template <class T>
int run_seq_fft(const MixArgs& args, const CudaPlan& plan, int64_t slice, void* spectrum,
                const CudaQueue& queue) {
  SeqFftArgs<T> seq;
  seq.x = static_cast<const T*>(args.x) + plan.slices.begin(slice) * args.x_batch_stride;
  seq.batch_stride = args.x_batch_stride;
  seq.row_stride = args.x_row_stride;
  seq.spectrum = static_cast<Complex<float>*>(spectrum);
  seq.batch = plan.slices.size(slice);
  seq.seq = int(args.seq), seq.hidden = int(args.hidden), seq.pitch = spectrum_pitch(seq.hidden);
  return launch_seq_fft(seq, plan.seq_fft_shape, queue.stream);
}

template <class T>
int run_row_fft(const MixArgs& args, const CudaPlan& plan, int64_t slice, const void* spectrum,
                const CudaQueue& queue) {
  const int64_t b = plan.slices.begin(slice), rows = b * args.seq, elements = rows * args.hidden;
  RowFftArgs<T> row;
  row.spectrum = static_cast<const Complex<float>*>(spectrum);
  row.batch = plan.slices.size(slice);
  row.seq = int(args.seq), row.hidden = int(args.hidden), row.pitch = spectrum_pitch(row.hidden);
  row.x = static_cast<const T*>(args.x) + b * args.x_batch_stride;
  row.batch_stride = args.x_batch_stride;
  row.row_stride = args.x_row_stride;
  row.epilogue = args.epilogue;
  row.scale = float(args.scale / 4);
  row.eps = float(args.eps);
  row.weight = static_cast<const T*>(args.weight);
  row.bias = static_cast<const T*>(args.bias);
  row.y = static_cast<T*>(args.y) + elements;
  row.normalized = offset_elements(static_cast<T*>(args.normalized), elements);
  row.rstd = offset_elements(static_cast<float*>(args.rstd), rows);
  return launch_row_fft(row, plan.row_shape, queue.stream);
}

template <class T>
int run_norm_mix_grad(const NormGradArgs& norm, const MixArgs& args, const CudaGradPlan& plan,
                      void* workspace, const CudaQueue& queue) {
  const bool sums = norm.dweight || norm.dbias;
  const Slices& slices = plan.slices;
  const int seq = int(args.seq), hidden = int(args.hidden), pitch = spectrum_pitch(hidden);
  const auto at = [&](int64_t offset) { return static_cast<char*>(workspace) + offset; };
  auto* spectrum = static_cast<Complex<float>*>(workspace);
  auto* edges = reinterpret_cast<float*>(at(plan.edges));
  auto* partials = sums ? reinterpret_cast<float*>(at(plan.partials)) : nullptr;
  auto* flags = reinterpret_cast<unsigned*>(at(plan.flags));
  for (int64_t i = 0; i < slices.count; ++i) {
    const int64_t b = slices.begin(i), batch = slices.size(i);
    const int64_t rows = b * args.seq, elements = rows * args.hidden;
    RowGradArgs<T> row;
    row.grad = static_cast<const T*>(norm.grad) + elements;
    row.normalized = static_cast<const T*>(norm.normalized) + elements;
    row.rstd = static_cast<const float*>(norm.rstd) + rows;
    row.weight = static_cast<const T*>(norm.weight);
    row.du = static_cast<T*>(args.y) + elements;
    row.spectrum = spectrum;
    row.partials = partials;
    row.overwrite = b == 0;
    row.batch = batch;
    row.grid_size = plan.row_grad_grid_size;
    row.iterations = plan.row_grad_iterations;
    row.seq = seq, row.hidden = hidden, row.pitch = pitch;
    row.flags = flags, row.flag_count = batch * 2 * plan.seq_grad_tiles;
    if (const int error = launch_row_grad(row, plan.row_shape, queue.stream)) return error;

    SeqGradArgs<T> column;
    column.spectrum = spectrum;
    column.edges = edges, column.flags = flags;
    column.scale = float(args.scale / 4);
    column.dx = row.du;
    column.batch = batch;
    column.seq = seq, column.hidden = hidden, column.pitch = pitch;
    if (const int error = launch_seq_grad(column, plan.seq_grad_shape, queue.stream)) return error;
  }
  if (!sums) return 0;
  return launch_add_chunks<T>(partials, plan.row_grad_grid_size, args.hidden,
                              static_cast<T*>(norm.dweight), static_cast<T*>(norm.dbias),
                              queue.stream);
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
    for (int64_t i = 0; i < plan.slices.count; ++i) {
      if (const int error = run_seq_fft<T>(args, plan, i, workspace, queue)) return error;
      if (const int error = run_row_fft<T>(args, plan, i, workspace, queue)) return error;
    }
    return 0;
  });
}

Status seq_pass_cuda(const MixArgs& args, const CudaPlan& plan, int64_t slice, void* spectrum,
                     const CudaQueue& queue) {
  if (const Status status = status_of(args, plan); status != Status::kOk) return status;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    return run_seq_fft<decltype(t)>(args, plan, slice, spectrum, queue);
  });
}

Status row_pass_cuda(const MixArgs& args, const CudaPlan& plan, int64_t slice, const void* spectrum,
                     const CudaQueue& queue) {
  if (const Status status = status_of(args, plan); status != Status::kOk) return status;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    return run_row_fft<decltype(t)>(args, plan, slice, spectrum, queue);
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
  return visit_dtype(args.dtype, [&](auto t) {
    return status_of(launch_norm_grad<decltype(t)>(args, workspace, queue.stream), queue);
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
