// The general path: the kernels before and after a library's FFT, for all lengths and alignments.
#include "core/layer_norm.h"
#include "cuda/block_sum.h"
#include "cuda/kernels.h"
#include "fft/mirror.h"

namespace fnet {
namespace {

constexpr int kThreads = 128;

template <class T>
struct GeneralTask {
  using R = Compute<T>;
  const T *x, *residual;
  int64_t batch_stride, row_stride, residual_batch_stride, residual_row_stride, seq, hidden;
  const R* row_scale;
  Epilogue epilogue;
  NormType norm;
  bool norm_first;
  R scale, eps;
  const T *weight, *bias;
  T *y, *normalized;
  R *rstd, *mean;

  explicit GeneralTask(const MixArgs& args)
      : x(static_cast<const T*>(args.x)),
        residual(static_cast<const T*>(args.residual)),
        batch_stride(args.x_batch_stride),
        row_stride(args.x_row_stride),
        residual_batch_stride(args.residual_batch_stride),
        residual_row_stride(args.residual_row_stride),
        seq(args.seq),
        hidden(args.hidden),
        row_scale(static_cast<const R*>(args.row_scale)),
        epilogue(args.epilogue),
        norm(args.norm),
        norm_first(args.norm_first),
        scale(R(args.scale)),
        eps(R(args.eps)),
        weight(static_cast<const T*>(args.weight)),
        bias(static_cast<const T*>(args.bias)),
        y(static_cast<T*>(args.y)),
        normalized(static_cast<T*>(args.normalized)),
        rstd(static_cast<R*>(args.rstd)),
        mean(static_cast<R*>(args.mean)) {}

  // Row i of [batch * seq], and its scale.
  FNET_DEVICE const T* row(int64_t i) const {
    return x + i / seq * batch_stride + i % seq * row_stride;
  }
  FNET_DEVICE R scale_of(int64_t i) const { return row_scale ? load_global(row_scale + i) : R(1); }
  // Element l of a normalised row.
  FNET_DEVICE R affine(R v, int64_t l) const {
    if (weight) v *= load_scalar(load_global<Cache::kReadOnly>(weight + l));
    if (bias) v += load_scalar(load_global<Cache::kReadOnly>(bias + l));
    return v;
  }
  // Row i of what the epilogue adds.
  FNET_DEVICE const T* added(int64_t i) const {
    if (!residual) return row(i);
    return residual + i / seq * residual_batch_stride + i % seq * residual_row_stride;
  }
};

template <class R>
struct Statistics {
  R mean, rstd;
};

// The statistics of a row u(0), ..., u(d - 1), from all threads of the block.
template <class R, class F>
FNET_DEVICE Statistics<R> block_statistics(const F& u, int64_t d, NormType norm, R eps) {
  const auto each = [&](const auto& body) {
    for (int64_t l = threadIdx.x; l < d; l += kThreads) body(l);
  };
  R mean = 0, sum[1] = {};
  if (norm == NormType::kLayer) {
    each([&](int64_t l) { sum[0] += u(l); });
    block_sum(sum);
    mean = sum[0] / R(d);
    sum[0] = 0;
  }
  each([&](int64_t l) { sum[0] += (u(l) - mean) * (u(l) - mean); });
  block_sum(sum);
  return {mean, reciprocal_std(sum[0], R(d), eps)};
}

// Writes the rows that the transform reads to `wide`: row_scale * x, or with norm_first the
// normalised ones. One block per row.
template <class T>
FNET_KERNEL_BOUNDS(kThreads, 1)
void widen_rows_kernel(GeneralTask<T> task, Compute<T>* wide) {
  const int64_t i = blockIdx.x;
  const T* x = task.row(i);
  const auto s = task.scale_of(i);
  Compute<T>* to = wide + i * task.hidden;
  const auto u = [&](int64_t l) { return load_scalar(load_global(x + l)) * s; };
  if (!task.norm_first) {
    for (int64_t l = threadIdx.x; l < task.hidden; l += kThreads) store_global(to + l, u(l));
    return;
  }
  const auto row = block_statistics(u, task.hidden, task.norm, task.eps);
  if (threadIdx.x == 0) {
    store_global(task.mean + i, row.mean);
    store_global(task.rstd + i, row.rstd);
  }
  for (int64_t l = threadIdx.x; l < task.hidden; l += kThreads)
    store_global(to + l, task.affine(normalize(u(l), row.mean, row.rstd), l));
}

// Computes y from the one-sided spectrum F [batch, seq, hidden / 2 + 1] of row_scale * x:
// F[n, l] = conj(F[-n, hidden - l]). One block per row.
template <class T, class Part>
FNET_KERNEL_BOUNDS(kThreads, 1)
void spectrum_rows_kernel(GeneralTask<T> task, const Complex<Compute<T>>* spectrum) {
  using R = Compute<T>;
  const int64_t i = blockIdx.x, n = i % task.seq, first = i - n, d = task.hidden;
  const int64_t half = half_length(d);
  const Complex<R>* left = spectrum + i * half;
  const Complex<R>* right = spectrum + (first + mirror(n, task.seq)) * half;
  const T* x = task.added(i);
  const R s = task.residual ? R(1) : task.scale_of(i);
  T* y = task.y + i * d;
  constexpr Part part;

  const auto u = [&](int64_t l) {
    const Complex<R>* at = l < half ? left + l : right + (d - l);
    Complex<R> z{load_global(&at->re), R(0)};
    if constexpr (!Part::kEven) z.im = l < half ? load_global(&at->im) : -load_global(&at->im);
    const R mixed = part(z) * task.scale;
    return task.epilogue == Epilogue::kMix ? mixed : load_scalar(load_global(x + l)) * s + mixed;
  };
  const auto each = [&](const auto& body) {
    for (int64_t l = threadIdx.x; l < d; l += kThreads) body(l);
  };
  const auto put = [&](T* to, int64_t l, R v) {
    T out;
    store_scalar(out, v);
    store_global(to + l, out);
  };

  if (task.epilogue != Epilogue::kNorm) {
    each([&](int64_t l) { put(y, l, u(l)); });
    return;
  }
  const Statistics<R> row = block_statistics(u, d, task.norm, task.eps);
  if (task.rstd && threadIdx.x == 0) store_global(task.rstd + i, row.rstd);
  each([&](int64_t l) {
    const R v = normalize(u(l), row.mean, row.rstd);
    if (task.normalized) put(task.normalized + i * d, l, v);
    put(y, l, task.affine(v, l));
  });
}

}  // namespace

template <class T>
int launch_widen_rows(const MixArgs& args, void* wide, void* stream) {
  return launch<widen_rows_kernel<T>>({.name = "widen_rows",
                                       .grid = dim3(unsigned(args.batch * args.seq)),
                                       .block = dim3(kThreads),
                                       .shared_bytes = kThreads / kWarp * sizeof(Compute<T>),
                                       .stream = stream},
                                      GeneralTask<T>(args), static_cast<Compute<T>*>(wide));
}

template <class T>
int launch_spectrum_rows(const MixArgs& args, const void* spectrum, void* stream) {
  return visit_part(args.transform, [&]<class Part>(Part) {
    return launch<spectrum_rows_kernel<T, Part>>(
        {.name = "spectrum_rows",
         .grid = dim3(unsigned(args.batch * args.seq)),
         .block = dim3(kThreads),
         .shared_bytes = kThreads / kWarp * sizeof(Compute<T>),
         .stream = stream},
        GeneralTask<T>(args), static_cast<const Complex<Compute<T>>*>(spectrum));
  });
}

template int launch_widen_rows<float>(const MixArgs&, void*, void*);
template int launch_widen_rows<double>(const MixArgs&, void*, void*);
template int launch_widen_rows<BFloat16>(const MixArgs&, void*, void*);
template int launch_widen_rows<Float16>(const MixArgs&, void*, void*);
template int launch_spectrum_rows<float>(const MixArgs&, const void*, void*);
template int launch_spectrum_rows<double>(const MixArgs&, const void*, void*);
template int launch_spectrum_rows<BFloat16>(const MixArgs&, const void*, void*);
template int launch_spectrum_rows<Float16>(const MixArgs&, const void*, void*);

}  // namespace fnet
