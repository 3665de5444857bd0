// CUDA's side of core/api.h: workspace, slices of the batch, and who does what.
#include <algorithm>
#include <iterator>

#include "cuda/slices.h"

namespace fnet {
namespace {

constexpr int64_t kAlign = 16;

bool is_aligned(const void* p) { return reinterpret_cast<intptr_t>(p) % kAlign == 0; }

template <class P>
P* advance(P* p, int64_t elements) {
  return p ? p + elements : nullptr;
}

template <class T>
int mix_slices(const MixArgs& args, void* workspace, const CudaQueue& queue) {
  const Slices slices = slices_of<T>(args, queue.device);
  const T* x = static_cast<const T*>(args.x);
  auto* spectrum = static_cast<Complex<float>*>(workspace);
  const int seq = int(args.seq), hidden = int(args.hidden), pitch = spectrum_pitch(hidden);
  for (int64_t i = 0; i < slices.count; ++i) {
    const int64_t b = slices.begin(i), batch = slices.size(i);
    const int64_t rows = b * args.seq, elements = rows * args.hidden;
    const SeqFftArgs<T> columns = {x + b * args.x_batch_stride,
                                   args.x_batch_stride,
                                   args.x_row_stride,
                                   spectrum,
                                   batch,
                                   seq,
                                   hidden,
                                   pitch};
    if (const int error = launch_seq_fft(columns, queue)) return error;

    RowFftArgs<T> out;
    out.spectrum = spectrum;
    out.batch = batch;
    out.seq = seq, out.hidden = hidden, out.pitch = pitch;
    out.x = columns.x;
    out.batch_stride = columns.batch_stride;
    out.row_stride = columns.row_stride;
    out.epilogue = args.epilogue;
    out.scale = float(args.scale / 4);
    out.eps = float(args.eps);
    out.weight = static_cast<const T*>(args.weight);
    out.bias = static_cast<const T*>(args.bias);
    out.y = static_cast<T*>(args.y) + elements;
    out.normalized = advance(static_cast<T*>(args.normalized), elements);
    out.rstd = advance(static_cast<float*>(args.rstd), rows);
    if (const int error = launch_row_fft(out, queue)) return error;
  }
  return 0;
}

Status status_of(int error, const CudaQueue& queue) {
  queue.error = error;
  return error ? Status::kLaunchFailed : Status::kOk;
}

template <class T>
int norm_mix_grad_slices(const NormGradArgs& norm, const MixArgs& args, void* workspace,
                         const CudaQueue& queue) {
  const bool sums = norm.dweight || norm.dbias;
  const auto plan = grad_plan<T>(args, sums, queue.device);
  const Slices& slices = plan.slices;
  const int seq = int(args.seq), hidden = int(args.hidden), pitch = spectrum_pitch(hidden);
  const auto place = [&](int64_t offset) { return static_cast<char*>(workspace) + offset; };
  auto* spectrum = static_cast<Complex<float>*>(workspace);
  auto* edges = reinterpret_cast<float*>(place(plan.edges));
  auto* partials = sums ? reinterpret_cast<float*>(place(plan.partials)) : nullptr;
  auto* ready = reinterpret_cast<unsigned*>(place(plan.ready));
  for (int64_t i = 0; i < slices.count; ++i) {
    const int64_t b = slices.begin(i), batch = slices.size(i);
    const int64_t rows = b * args.seq, elements = rows * args.hidden;
    RowGradArgs<T> first;
    first.grad = static_cast<const T*>(norm.grad) + elements;
    first.normalized = static_cast<const T*>(norm.normalized) + elements;
    first.rstd = static_cast<const float*>(norm.rstd) + rows;
    first.weight = static_cast<const T*>(norm.weight);
    first.du = static_cast<T*>(args.y) + elements;
    first.spectrum = spectrum;
    first.partials = partials;
    first.first = b == 0;
    first.batch = batch, first.blocks = plan.blocks.count, first.turns = plan.blocks.turns;
    first.seq = seq, first.hidden = hidden, first.pitch = pitch;
    first.ready = ready, first.readies = batch * 2 * plan.tiles;
    if (const int error = launch_row_grad(first, queue)) return error;

    SeqGradArgs<T> second;
    second.spectrum = spectrum;
    second.edges = edges, second.ready = ready;
    second.scale = float(args.scale / 4);
    second.dx = first.du;
    second.batch = batch;
    second.seq = seq, second.hidden = hidden, second.pitch = pitch;
    if (const int error = launch_seq_grad(second, queue)) return error;
  }
  if (!sums) return 0;
  return launch_add_chunks<T>(partials, plan.blocks.count, args.hidden,
                              static_cast<T*>(norm.dweight), static_cast<T*>(norm.dbias),
                              queue.stream);
}

// body(T{}) for the dtypes that have kernels of their own.
template <class F>
Status visit_own_dtype(DType dtype, const F& body) {
  switch (dtype) {
    case DType::kFloat32: return body(float());
    case DType::kBFloat16: return body(BFloat16());
    case DType::kFloat16: return body(Float16());
    default: return Status::kUnsupportedDType;
  }
}

Slices own_slices(const MixArgs& args, const CudaDevice& device) {
  Slices slices{};
  visit_own_dtype(args.dtype, [&](auto t) {
    slices = slices_of<decltype(t)>(args, device);
    return Status::kOk;
  });
  return slices;
}

}  // namespace

bool has_cuda_kernels(const MixArgs& args, const CudaDevice& device) {
  const auto any = [](auto) {};
  return visit_own_dtype(args.dtype, [&](auto t) {
           using T = decltype(t);
           const int64_t most = device.shared_bytes;
           return visit_seq_shape<T, SeqKernel::kFft>(args.seq, most, any) &&
                          visit_seq_shape<T, SeqKernel::kGrad>(args.seq, most, any) &&
                          visit_row_shape(args.hidden, most, any)
                      ? Status::kOk
                      : Status::kUnsupportedLength;
         }) == Status::kOk;
}

bool is_aligned_for_cuda(const MixArgs& args) {
  const int64_t unit = kAlign / element_size(args.dtype);
  return is_aligned(args.x) && is_aligned(args.y) && is_aligned(args.normalized) &&
         is_aligned(args.weight) && is_aligned(args.bias) && args.x_row_stride % unit == 0 &&
         args.x_batch_stride % unit == 0;
}

int64_t mix_cuda_slices(const MixArgs& args, const CudaDevice& device) {
  return has_cuda_kernels(args, device) ? own_slices(args, device).count : 0;
}

size_t mix_cuda_workspace(const MixArgs& args, const CudaDevice& device) {
  if (!has_cuda_kernels(args, device)) return 0;
  return size_t(own_slices(args, device).largest() * spectrum_bytes(args));
}

Status mix_cuda(const MixArgs& args, void* workspace, const CudaQueue& queue) {
  if (args.row_scale) return Status::kUnsupportedDType;
  if (args.y == args.x) return Status::kInPlace;
  return visit_own_dtype(args.dtype, [&](auto t) {
    if (!has_cuda_kernels(args, queue.device)) return Status::kUnsupportedLength;
    if (!is_aligned_for_cuda(args)) return Status::kMisaligned;
    return status_of(mix_slices<decltype(t)>(args, workspace, queue), queue);
  });
}

size_t norm_mix_grad_cuda_workspace(const NormGradArgs& norm, const MixArgs& args,
                                    const CudaDevice& device) {
  if (!has_cuda_kernels(args, device)) return 0;
  int64_t bytes = 0;
  visit_own_dtype(args.dtype, [&](auto t) {
    bytes = grad_plan<decltype(t)>(args, norm.dweight || norm.dbias, device).bytes;
    return Status::kOk;
  });
  return size_t(bytes);
}

Status norm_mix_grad_cuda(const NormGradArgs& norm, const MixArgs& args, void* workspace,
                          const CudaQueue& queue) {
  return visit_own_dtype(args.dtype, [&](auto t) {
    if (!has_cuda_kernels(args, queue.device)) return Status::kUnsupportedLength;
    const void* const places[] = {norm.grad, norm.normalized, norm.weight, args.y};
    if (!std::all_of(std::begin(places), std::end(places), is_aligned)) return Status::kMisaligned;
    return status_of(norm_mix_grad_slices<decltype(t)>(norm, args, workspace, queue), queue);
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
