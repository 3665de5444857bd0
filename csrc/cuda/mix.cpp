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
  if (args.norm_first && (args.row_scale || args.epilogue != Epilogue::kResidual))
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

// The sequences of a call, or those of one length in a call with different lengths.
struct Batch {
  const SequenceRows* sequences = nullptr;  // or null: as MixArgs says
  bool follows = false;                     // a kernel of the same call
};

RowStatistics* statistics_at(const CudaPlan& plan, void* workspace) {
  return reinterpret_cast<RowStatistics*>(static_cast<char*>(workspace) + plan.statistics);
}

// Whether seq_fft reads rows that are normalised or scaled.
bool has_statistics(const MixArgs& args) { return args.norm_first || args.row_scale; }

// The statistics of the rows of a slice.
template <class T>
int run_row_statistics(const MixArgs& args, const CudaPlan& plan, int64_t slice, Order order,
                       void* spectrum, const CudaQueue& queue) {
  const int64_t b = plan.slices.begin(slice), row = b * args.seq;
  if (args.row_scale)
    return launch_scale_statistics(static_cast<const float*>(args.row_scale) + row,
                                   plan.slices.size(slice), int(args.seq),
                                   statistics_at(plan, spectrum), order, queue.stream);
  return launch_row_statistics(
      RowStatisticsArgs<T>{.x = static_cast<const T*>(args.x) + b * args.x_batch_stride,
                           .batch_stride = args.x_batch_stride,
                           .row_stride = args.x_row_stride,
                           .batch = plan.slices.size(slice),
                           .seq = int(args.seq),
                           .hidden = int(args.hidden),
                           .norm = args.norm,
                           .eps = float(args.eps),
                           .statistics = statistics_at(plan, spectrum),
                           .mean = static_cast<float*>(args.mean) + row,
                           .rstd = static_cast<float*>(args.rstd) + row},
      order, queue.stream);
}

// x_is_new: the kernel that writes x, or its statistics, was launched just before.
template <class T>
int run_seq_fft(const MixArgs& args, const Batch& batch, const CudaPlan& plan, int64_t slice,
                bool x_is_new, void* spectrum, const CudaQueue& queue) {
  const int64_t b = plan.slices.begin(slice);
  SeqFftArgs<T> seq;
  seq.sequences = offset_elements(batch.sequences, b);
  seq.x = static_cast<const T*>(args.x) + (batch.sequences ? 0 : b * args.x_batch_stride);
  seq.batch_stride = args.x_batch_stride;
  seq.row_stride = args.x_row_stride;
  seq.spectrum = static_cast<Complex<float>*>(spectrum);
  seq.batch = plan.slices.size(slice);
  seq.seq = int(args.seq), seq.hidden = int(args.hidden), seq.pitch = spectrum_pitch(seq.hidden);
  if (has_statistics(args)) seq.statistics = statistics_at(plan, spectrum);
  if (args.norm_first) {
    seq.weight = static_cast<const T*>(args.weight);
    seq.bias = static_cast<const T*>(args.bias);
  }
  seq.x_is_new = x_is_new;
  const bool follows = batch.follows || x_is_new || slice > 0;
  return launch_seq_fft(seq, plan.seq_shape, order_of(plan, follows), queue.stream);
}

template <class T>
int run_row_fft(const MixArgs& args, const Batch& batch, const CudaPlan& plan, int64_t slice,
                Order order, const void* spectrum, const CudaQueue& queue) {
  const int64_t b = plan.slices.begin(slice), first = batch.sequences ? 0 : b,
                rows = first * args.seq, elements = rows * args.hidden;
  RowFftArgs<T> row;
  row.sequences = offset_elements(batch.sequences, b);
  row.spectrum = static_cast<const Complex<float>*>(spectrum);
  row.batch = plan.slices.size(slice);
  row.seq = int(args.seq), row.hidden = int(args.hidden), row.pitch = spectrum_pitch(row.hidden);
  const bool apart = args.residual != nullptr;
  row.x = static_cast<const T*>(apart ? args.residual : args.x);
  row.batch_stride = apart ? args.residual_batch_stride : args.x_batch_stride;
  row.row_stride = apart ? args.residual_row_stride : args.x_row_stride;
  row.x += first * row.batch_stride;
  if (!apart) row.row_scale = offset_elements(static_cast<const float*>(args.row_scale), rows);
  row.epilogue = args.epilogue;
  row.norm = args.norm;
  row.scale = float(args.scale / 4);
  row.eps = float(args.eps);
  row.weight = static_cast<const T*>(args.weight);
  row.bias = static_cast<const T*>(args.bias);
  row.y = static_cast<T*>(args.y) + elements;
  row.normalized = offset_elements(static_cast<T*>(args.normalized), elements);
  row.rstd = offset_elements(static_cast<float*>(args.rstd), rows);
  return launch_row_fft(row, plan.row_shape, order, queue.stream);
}

// The statistics of a slice if they are needed, and its seq_fft.
template <class T>
int run_seq_pass(const MixArgs& args, const Batch& batch, const CudaPlan& plan, int64_t slice,
                 bool x_is_new, void* spectrum, const CudaQueue& queue) {
  if (has_statistics(args)) {
    const Order order = order_of(plan, x_is_new || slice > 0);
    if (const int error = run_row_statistics<T>(args, plan, slice, order, spectrum, queue))
      return error;
    x_is_new = true;
  }
  return run_seq_fft<T>(args, batch, plan, slice, x_is_new, spectrum, queue);
}

// All kernels of a slice. The first one may not follow a kernel of another call.
template <class T>
int run_slice(const MixArgs& args, const Batch& batch, const CudaPlan& plan, int64_t slice,
              bool x_is_new, void* spectrum, const CudaQueue& queue) {
  if (const int error = run_seq_pass<T>(args, batch, plan, slice, x_is_new, spectrum, queue))
    return error;
  return run_row_fft<T>(args, batch, plan, slice, order_of(plan, true), spectrum, queue);
}

// The part of norm for the rows of a slice.
template <class T>
NormGradArgs slice_of(const NormGradArgs& norm, const MixArgs& args, const CudaPlan& plan,
                      int64_t i) {
  const int64_t row = plan.slices.begin(i) * args.seq, element = row * args.hidden;
  const auto of_rows = [&](const void* p) {
    return offset_elements(static_cast<const float*>(p), row);
  };
  const auto of_elements = [&](const void* p) {
    return offset_elements(static_cast<const T*>(p), element);
  };
  NormGradArgs slice = norm;
  slice.rows = plan.slices.size(i) * args.seq, slice.hidden = args.hidden;
  slice.grad = of_elements(norm.grad);
  slice.normalized = of_elements(norm.normalized);
  slice.residual = of_elements(norm.residual);
  slice.rstd = of_rows(norm.rstd);
  slice.mean = of_rows(norm.mean);
  slice.du = static_cast<T*>(args.y) + element;
  return slice;
}

// LayerNorm(u) first: norm_grad writes du to y, and the mix follows in place. float16 cannot hold
// du, which is grad divided by the deviation of a row: there norm_grad stores du / rstd, and the
// mix multiplies each row by rstd.
//
// x + M(LayerNorm(x)): the mix of x, which is the gradient, to y comes before norm_grad in place.
template <class T>
int run_norm_mix_grad(const NormGradArgs& norm, const MixArgs& mix, const CudaGradPlan& plan,
                      void* workspace, const CudaQueue& queue) {
  MixArgs args = mix;
  const bool mix_first = norm.mean;
  if (!mix_first) {
    args.epilogue = Epilogue::kResidual;
    args.x = args.y;
    args.x_row_stride = args.hidden, args.x_batch_stride = args.seq * args.hidden;
    if (kHasRowScale<T>) args.row_scale = norm.rstd;
  }
  const bool sums = norm.dweight || norm.dbias;
  auto* partials = reinterpret_cast<float*>(static_cast<char*>(workspace) + plan.partials);
  int64_t chunks = 0;
  for (int64_t i = 0; i < plan.slices.count; ++i) {
    NormGradArgs slice = slice_of<T>(norm, args, plan, i);
    if (args.row_scale) slice.rstd = nullptr;
    float* to = sums ? partials + chunks * 2 * args.hidden : nullptr;
    chunks += norm_grad_chunks(slice.rows);
    const auto norm_gradient = [&](bool follows) {
      return launch_norm_grad<T>(slice, to, order_of(plan, follows), queue.stream);
    };
    if (!mix_first)
      if (const int error = norm_gradient(i > 0)) return error;
    if (const int error = run_slice<T>(args, {}, plan, i, !mix_first, workspace, queue))
      return error;
    if (mix_first)
      if (const int error = norm_gradient(true)) return error;
  }
  if (!sums) return 0;
  return launch_add_chunks<T>(partials, plan.chunks, args.hidden, static_cast<T*>(norm.dweight),
                              static_cast<T*>(norm.dbias), queue.stream);
}

}  // namespace

bool is_aligned_for_cuda(const MixArgs& args) {
  const int64_t unit = kAlign / element_size(args.dtype);
  const int64_t strides[] = {args.x_row_stride, args.x_batch_stride, args.residual_row_stride,
                             args.residual_batch_stride};
  const void* const tensors[] = {args.x,          args.residual, args.y,
                                 args.normalized, args.weight,   args.bias};
  return std::all_of(std::begin(tensors), std::end(tensors), is_aligned) &&
         std::all_of(std::begin(strides), std::end(strides),
                     [&](int64_t stride) { return stride % unit == 0; });
}

Status mix_cuda(const MixArgs& args, const CudaPlan& plan, void* workspace,
                const CudaQueue& queue) {
  if (const Status status = status_of(args, plan); status != Status::kOk) return status;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    using T = decltype(t);
    for (int64_t i = 0; i < plan.slices.count; ++i)
      if (const int error = run_slice<T>(args, {}, plan, i, false, workspace, queue)) return error;
    return 0;
  });
}

Status mix_varlen_cuda(const MixArgs& all, const CudaVarlenPlan& plan, void* workspace,
                       const CudaQueue& queue) {
  if (!is_aligned_for_cuda(all)) return Status::kMisaligned;
  auto* table = static_cast<SequenceRows*>(workspace);
  void* spectrum = static_cast<char*>(workspace) + plan.spectrum;
  std::vector<SequenceRows> rows;
  for (const Sequence& s : plan.sequences) rows.push_back({s.x, int32_t(s.row), int32_t(s.length)});
  if (const int error =
          launch_store_sequences(rows.data(), int64_t(rows.size()), table, queue.stream))
    return status_of(error, queue);
  return run_own_dtype(all.dtype, queue, [&](auto t) {
    for (const CudaVarlenPlan::Group& group : plan.groups) {
      const Sequence& one = plan.sequences[size_t(group.first)];
      MixArgs args = all;
      args.batch = group.plan.slices.batch, args.seq = one.seq, args.scale = one.scale;
      const Batch batch{table + group.first, group.first > 0};
      for (int64_t i = 0; i < group.plan.slices.count; ++i)
        if (const int error =
                run_slice<decltype(t)>(args, batch, group.plan, i, false, spectrum, queue))
          return error;
    }
    return 0;
  });
}

Status clear_rows_past_cuda(const MixArgs& all, const std::vector<Sequence>& sequences,
                            const CudaQueue& queue) {
  std::vector<RowRange> ranges;
  for (const Sequence& s : sequences)
    if (s.row + s.length < s.end) ranges.push_back({s.row + s.length, s.end});
  ClearedTensors tensors;
  tensors.add(all.y, all.hidden * element_size(all.dtype));
  tensors.add(all.normalized, all.hidden * element_size(all.dtype));
  tensors.add(all.rstd, compute_size(all.dtype));
  return status_of(launch_clear_rows(ranges.data(), int64_t(ranges.size()), tensors, queue.stream),
                   queue);
}

Status seq_pass_cuda(const MixArgs& args, const CudaPlan& plan, int64_t slice, void* spectrum,
                     const CudaQueue& queue) {
  if (const Status status = status_of(args, plan); status != Status::kOk) return status;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    return run_seq_pass<decltype(t)>(args, {}, plan, slice, false, spectrum, queue);
  });
}

Status row_pass_cuda(const MixArgs& args, const CudaPlan& plan, int64_t slice, const void* spectrum,
                     const CudaQueue& queue) {
  if (const Status status = status_of(args, plan); status != Status::kOk) return status;
  return run_own_dtype(args.dtype, queue, [&](auto t) {
    return run_row_fft<decltype(t)>(args, {}, plan, slice, Order::kAfter, spectrum, queue);
  });
}

Status norm_mix_grad_cuda(const NormGradArgs& norm, const MixArgs& args, const CudaGradPlan& plan,
                          void* workspace, const CudaQueue& queue) {
  if (const Status status = status_of(plan); status != Status::kOk) return status;
  const void* const tensors[] = {norm.grad, norm.normalized, norm.residual, norm.weight, args.y};
  if (!std::all_of(std::begin(tensors), std::end(tensors), is_aligned) ||
      (norm.mean && !is_aligned_for_cuda(args)))
    return Status::kMisaligned;
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
