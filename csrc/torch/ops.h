// The ops, written once for all backends: checks, allocation, and the tensors saved for the
// backward pass.
#pragma once

#include <cmath>
#include <concepts>

#include "torch/norm.h"

namespace fnet::binding {

// The kernels of a device. The ops align x and all its rows to kAlignment bytes and keep a Scope
// for the duration of the call. kReadsWideAffine: the kernels take wide_affine.
template <class B>
concept Backend =
    requires(const MixArgs& args, const NormGradArgs& norm, const void* rstd, const Tensor& like) {
      { B::kAlignment } -> std::convertible_to<int64_t>;
      { B::kReadsWideAffine } -> std::convertible_to<bool>;
      requires std::constructible_from<typename B::Scope, const Tensor&>;
      // The mix, by the kernels or the general path. The shape is not empty.
      { B::mix(args, like) } -> std::same_as<void>;
      // Writes the gradient of x to args.y, which is norm.du: backward_cpu() tells in which order.
      { B::backward(norm, args, rstd, like) } -> std::same_as<void>;
    };

template <Backend B>
Tensor run_mix(const char* op, const Tensor& x, double scale, Transform transform,
               Epilogue epilogue) {
  const typename B::Scope scope(x);
  const Rows in(op, x, B::kAlignment);
  check_scale(op, scale);
  const Tensor y = new_empty(x, sizes_of(x), x.scalar_type());
  MixArgs args = mix_args(in, dtype_of(op, x.scalar_type()), scale);
  args.transform = transform;
  args.epilogue = epilogue;
  args.y = y.mutable_data_ptr();
  if (!is_empty(args)) B::mix(args, x);
  return y;
}

template <Backend B>
Tensor fourier_mix(Tensor x, double scale, bool residual) {
  return run_mix<B>("fourier_mix", x, scale, Transform::kFourier,
                    residual ? Epilogue::kResidual : Epilogue::kMix);
}

template <Backend B>
Tensor hartley_mix(Tensor x, double scale) {
  return run_mix<B>("hartley_mix", x, scale, Transform::kHartley, Epilogue::kMix);
}

struct NormOutputs {
  Tensor y;
  std::optional<Tensor> normalized, rstd;  // only in training
};

template <Backend B>
void mix_batch(const Rows&, const MixArgs& args, const Tensor& x) {
  if (!is_empty(args)) B::mix(args, x);
}

// mix(in, args, x) mixes the rows of x.
template <Backend B, class Mix = decltype(&mix_batch<B>)>
NormOutputs run_norm(const char* op, const Tensor& x, const std::optional<Tensor>& weight,
                     const std::optional<Tensor>& bias, double eps, double scale, bool train,
                     NormType norm = NormType::kLayer, const Mix& mix = mix_batch<B>) {
  const typename B::Scope scope(x);
  if (const auto wider = widening(weight, x, B::kReadsWideAffine)) {
    NormOutputs out = run_norm<B>(op, wider->widen(x), weight, bias, eps, scale, train, norm, mix);
    out.y = wider->narrow(out.y);
    if (train) out.normalized = wider->narrow(*out.normalized);
    return out;
  }
  const NormInputs inputs(op, x, weight, bias, eps, scale, norm, B::kAlignment);
  MixArgs args = inputs.args;
  NormOutputs out{new_empty(x, sizes_of(x), x.scalar_type()), {}, {}};
  if (train) {
    out.rstd = new_statistic(x, args.dtype);
    out.normalized = new_empty(x, sizes_of(x), x.scalar_type());
    if (args.hidden == 0) torch::stable::fill_(*out.rstd, NAN);  // of no elements, as in layer_norm
    args.normalized = out.normalized->mutable_data_ptr();
    args.rstd = out.rstd->mutable_data_ptr();
  }
  args.epilogue = Epilogue::kNorm;
  args.y = out.y.mutable_data_ptr();
  mix(inputs.in, args, x);
  return out;
}

template <Backend B>
Tensor fused_fourier_mix(Tensor x, std::optional<Tensor> weight, std::optional<Tensor> bias,
                         double eps, double scale) {
  return run_norm<B>("fused_fourier_mix", x, weight, bias, eps, scale, false).y;
}

template <Backend B>
std::tuple<Tensor, Tensor, Tensor> fused_fourier_mix_train(Tensor x, std::optional<Tensor> weight,
                                                           std::optional<Tensor> bias, double eps,
                                                           double scale) {
  NormOutputs out = run_norm<B>("fused_fourier_mix_train", x, weight, bias, eps, scale, true);
  return {out.y, *out.normalized, *out.rstd};
}

template <Backend B>
void backward_batch(const Rows&, const NormGradArgs& norm, const MixArgs& args, const void* rstd,
                    const Tensor& grad) {
  B::backward(norm, args, rstd, grad);
}

// backward(in, norm, args, rstd, grad) computes both gradients.
template <Backend B, class Backward = decltype(&backward_batch<B>)>
std::tuple<Tensor, Tensor, Tensor> run_norm_backward(const char* op, Tensor grad, Tensor normalized,
                                                     Tensor rstd, std::optional<Tensor> weight,
                                                     double scale, bool need_weight, bool need_bias,
                                                     NormType norm_type = NormType::kLayer,
                                                     const Backward& backward = backward_batch<B>) {
  const typename B::Scope scope(grad);
  if (const auto wider = widening(weight, grad, B::kReadsWideAffine)) {
    auto [dx, dweight, dbias] =
        run_norm_backward<B>(op, wider->widen(grad), wider->widen(normalized), rstd, weight, scale,
                             need_weight, need_bias, norm_type, backward);
    return {wider->narrow(dx), dweight, dbias};
  }
  check_scale(op, scale);
  grad = contiguous(grad, B::kAlignment);
  normalized = contiguous(normalized, B::kAlignment);
  rstd = contiguous(rstd, 1);
  const Rows in(op, grad, 1, "grad");
  check_like(op, "normalized", normalized, "grad", grad);
  check_statistic(op, "rstd", rstd, in, grad);
  NormGrads grads(op, in, weight, norm_type, need_weight, need_bias, B::kAlignment);
  grads.args.grad = grad.const_data_ptr();
  grads.args.normalized = normalized.const_data_ptr();

  // dx = du + scale M(du), in place: M is its own adjoint.
  MixArgs args = mix_args(in, grads.args.dtype, scale);
  args.epilogue = Epilogue::kResidual;
  args.x = args.y = grads.dx.mutable_data_ptr();
  backward(in, grads.args, args, rstd.const_data_ptr(), grad);
  return grads.all();
}

template <Backend B>
std::tuple<Tensor, Tensor, Tensor> fused_fourier_mix_backward(Tensor grad, Tensor normalized,
                                                              Tensor rstd,
                                                              std::optional<Tensor> weight,
                                                              double scale, bool need_weight,
                                                              bool need_bias) {
  return run_norm_backward<B>("fused_fourier_mix_backward", grad, normalized, rstd, weight, scale,
                              need_weight, need_bias);
}

}  // namespace fnet::binding
