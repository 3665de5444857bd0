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
  const T* x;
  int64_t batch_stride, row_stride, seq, hidden;
  const R* row_scale;
  Epilogue epilogue;
  R scale, eps;
  const T *weight, *bias;
  T *y, *normalized;
  R* rstd;

  explicit GeneralTask(const MixArgs& args)
      : x(static_cast<const T*>(args.x)),
        batch_stride(args.x_batch_stride),
        row_stride(args.x_row_stride),
        seq(args.seq),
        hidden(args.hidden),
        row_scale(static_cast<const R*>(args.row_scale)),
        epilogue(args.epilogue),
        scale(R(args.scale)),
        eps(R(args.eps)),
        weight(static_cast<const T*>(args.weight)),
        bias(static_cast<const T*>(args.bias)),
        y(static_cast<T*>(args.y)),
        normalized(static_cast<T*>(args.normalized)),
        rstd(static_cast<R*>(args.rstd)) {}

  // Row i of [batch * seq], and its scale.
  FNET_DEVICE const T* row(int64_t i) const {
    return x + i / seq * batch_stride + i % seq * row_stride;
  }
  FNET_DEVICE R scale_of(int64_t i) const { return row_scale ? load_global(row_scale + i) : R(1); }
};

// Writes row_scale * x to `wide`. One block per row.
template <class T>
FNET_KERNEL_BOUNDS(kThreads, 1)
void widen_rows_kernel(GeneralTask<T> task, Compute<T>* wide) {
  const int64_t i = blockIdx.x;
  const T* x = task.row(i);
  const auto s = task.scale_of(i);
  for (int64_t l = threadIdx.x; l < task.hidden; l += kThreads)
    store_global(wide + i * task.hidden + l, load_scalar(load_global(x + l)) * s);
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
  const T* x = task.row(i);
  const R s = task.scale_of(i);
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
  R sum[1] = {};
  each([&](int64_t l) { sum[0] += u(l); });
  block_sum(sum);
  const R mean = sum[0] / R(d);
  sum[0] = 0;
  each([&](int64_t l) { sum[0] += (u(l) - mean) * (u(l) - mean); });
  block_sum(sum);
  const R rstd = reciprocal_std(sum[0], R(d), task.eps);
  if (task.rstd && threadIdx.x == 0) store_global(task.rstd + i, rstd);
  each([&](int64_t l) {
    R v = normalize(u(l), mean, rstd);
    if (task.normalized) put(task.normalized + i * d, l, v);
    if (task.weight) v *= load_scalar(load_global<Cache::kReadOnly>(task.weight + l));
    if (task.bias) v += load_scalar(load_global<Cache::kReadOnly>(task.bias + l));
    put(y, l, v);
  });
}

}  // namespace

template <class T>
int launch_widen_rows(const MixArgs& args, void* wide, void* stream) {
  return launch<widen_rows_kernel<T>>({.name = "widen_rows",
                                       .grid = dim3(unsigned(args.batch * args.seq)),
                                       .block = dim3(kThreads),
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
