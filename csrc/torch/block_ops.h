// The ops of other blocks than FNet's own: RMSNorm, a residual that is not x, and pre-norm.
#pragma once

#include "torch/ops.h"

namespace fnet::binding {

template <Backend B>
Tensor fused_rms_fourier_mix(Tensor x, std::optional<Tensor> weight, std::optional<Tensor> bias,
                             double eps, double scale) {
  return run_norm<B>("fused_rms_fourier_mix", x, weight, bias, eps, scale, false, NormType::kRms).y;
}

template <Backend B>
std::tuple<Tensor, Tensor, Tensor> fused_rms_fourier_mix_train(Tensor x,
                                                               std::optional<Tensor> weight,
                                                               std::optional<Tensor> bias,
                                                               double eps, double scale) {
  NormOutputs out =
      run_norm<B>("fused_rms_fourier_mix_train", x, weight, bias, eps, scale, true, NormType::kRms);
  return {out.y, *out.normalized, *out.rstd};
}

template <Backend B>
std::tuple<Tensor, Tensor, Tensor> fused_rms_fourier_mix_backward(Tensor grad, Tensor normalized,
                                                                  Tensor rstd,
                                                                  std::optional<Tensor> weight,
                                                                  double scale, bool need_weight,
                                                                  bool need_bias) {
  return run_norm_backward<B>("fused_rms_fourier_mix_backward", grad, normalized, rstd, weight,
                              scale, need_weight, need_bias, NormType::kRms);
}

template <Backend B>
Tensor residual_fourier_mix(Tensor x, Tensor residual, double scale) {
  const char* op = "residual_fourier_mix";
  const typename B::Scope scope(x);
  const Rows in(op, x, B::kAlignment);
  check_scale(op, scale);
  check_like(op, "residual", residual, "x", x);
  const Rows added(op, residual, B::kAlignment);
  const Tensor y = new_empty(x, sizes_of(x), x.scalar_type());
  MixArgs args = mix_args(in, dtype_of(op, x.scalar_type()), scale);
  args.epilogue = Epilogue::kResidual;
  args.residual = added.x.const_data_ptr();
  args.residual_batch_stride = added.batch_stride;
  args.residual_row_stride = added.row_stride;
  args.y = y.mutable_data_ptr();
  if (!is_empty(args)) B::mix(args, x);
  return y;
}

constexpr NormType norm_type(bool rms) { return rms ? NormType::kRms : NormType::kLayer; }

template <Backend B>
std::tuple<Tensor, Tensor, Tensor> prenorm_fourier_mix(Tensor x, std::optional<Tensor> weight,
                                                       std::optional<Tensor> bias, double eps,
                                                       double scale, bool rms) {
  const char* op = "prenorm_fourier_mix";
  const typename B::Scope scope(x);
  if (const auto wider = widening(weight, x, B::kReadsWideAffine)) {
    auto [y, mean, rstd] = prenorm_fourier_mix<B>(wider->widen(x), weight, bias, eps, scale, rms);
    return {wider->narrow(y), mean, rstd};
  }
  const NormInputs inputs(op, x, weight, bias, eps, scale, norm_type(rms), B::kAlignment);
  MixArgs args = inputs.args;
  const Tensor y = new_empty(x, sizes_of(x), x.scalar_type());
  const Tensor mean = new_statistic(x, args.dtype), rstd = new_statistic(x, args.dtype);
  args.epilogue = Epilogue::kResidual;
  args.norm_first = true;
  args.y = y.mutable_data_ptr();
  args.mean = mean.mutable_data_ptr();
  args.rstd = rstd.mutable_data_ptr();
  if (!is_empty(args)) {
    B::mix(args, x);
  } else {  // of no elements
    torch::stable::fill_(mean, rms ? 0 : NAN);
    torch::stable::fill_(rstd, NAN);
  }
  return {y, mean, rstd};
}

template <Backend B>
std::tuple<Tensor, Tensor, Tensor> prenorm_fourier_mix_backward(Tensor grad, Tensor x, Tensor mean,
                                                                Tensor rstd,
                                                                std::optional<Tensor> weight,
                                                                double eps, double scale, bool rms,
                                                                bool need_weight, bool need_bias) {
  const char* op = "prenorm_fourier_mix_backward";
  const typename B::Scope scope(grad);
  check_like(op, "x", x, "grad", grad);
  // scale M(grad), which dx holds for a while, may exceed the range of float16 where dx does not.
  const auto wider = grad.scalar_type() == ScalarType::Half
                         ? std::optional(kFloat16AsFloat32)
                         : widening(weight, grad, B::kReadsWideAffine);
  if (wider) {
    const ScalarType affine = affine_type(weight, grad);
    auto [dx, dweight, dbias] = prenorm_fourier_mix_backward<B>(
        wider->widen(grad), wider->widen(x), mean, rstd, wider->widen(weight), eps, scale, rms,
        need_weight, need_bias);
    return {wider->narrow(dx), torch::stable::to(dweight, affine),
            torch::stable::to(dbias, affine)};
  }
  check_scale(op, scale);
  grad = contiguous(grad, B::kAlignment);
  x = contiguous(x, B::kAlignment);
  mean = contiguous(mean, 1);
  rstd = contiguous(rstd, 1);
  const Rows in(op, grad, 1, "grad");
  check_statistic(op, "mean", mean, in, grad);
  check_statistic(op, "rstd", rstd, in, grad);
  NormGrads grads(op, in, weight, norm_type(rms), need_weight, need_bias, B::kAlignment);
  grads.args.grad = grads.args.du;
  grads.args.normalized = x.const_data_ptr();
  grads.args.mean = mean.const_data_ptr();
  grads.args.rstd = rstd.const_data_ptr();
  grads.args.residual = grad.const_data_ptr();

  // dx = grad + Norm'(scale M(grad)): first the mix, to dx, then the norm's gradient in place.
  MixArgs args = mix_args(in, grads.args.dtype, scale);
  args.y = grads.dx.mutable_data_ptr();
  B::backward(grads.args, args, nullptr, grad);
  return grads.all();
}

}  // namespace fnet::binding
