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

// Checks that a tensor has the shape, dtype and device of `like`.
inline void check_like(const char* op, const char* name, const Tensor& t, const char* of,
                       const Tensor& like) {
  require(sizes_of(t) == sizes_of(like) && t.scalar_type() == like.scalar_type() &&
              t.device() == like.device(),
          op, ": expected ", name, " of the shape, dtype and device of ", of);
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
  const ScalarType type = x.scalar_type(), affine = affine_type(weight, x);
  if (affine != type && !B::kReadsWideAffine) {
    auto [y, mean, rstd] =
        prenorm_fourier_mix<B>(torch::stable::to(x, affine), weight, bias, eps, scale, rms);
    return {torch::stable::to(y, type), mean, rstd};
  }
  const NormInputs inputs(op, x, weight, bias, eps, scale, norm_type(rms), B::kAlignment);
  MixArgs args = inputs.args;
  std::vector<int64_t> rows = sizes_of(x);
  rows.pop_back();
  const Tensor y = new_empty(x, sizes_of(x), type);
  const Tensor mean = new_empty(x, rows, compute_type(args.dtype));
  const Tensor rstd = new_empty(x, rows, compute_type(args.dtype));
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
  const ScalarType type = grad.scalar_type(), affine = affine_type(weight, grad);
  check_like(op, "x", x, "grad", grad);
  if (type == ScalarType::Half || (affine != type && !B::kReadsWideAffine)) {
    // scale M(grad), which dx holds for a while, may exceed the range of float16 where dx does not.
    const auto wide = [&](const Tensor& t) { return torch::stable::to(t, ScalarType::Float); };
    const auto wide_weight = weight ? std::optional<Tensor>(wide(*weight)) : std::nullopt;
    auto [dx, dweight, dbias] = prenorm_fourier_mix_backward<B>(
        wide(grad), wide(x), mean, rstd, wide_weight, eps, scale, rms, need_weight, need_bias);
    return {torch::stable::to(dx, type), torch::stable::to(dweight, affine),
            torch::stable::to(dbias, affine)};
  }
  check_scale(op, scale);
  grad = contiguous(grad, B::kAlignment);
  x = contiguous(x, B::kAlignment);
  mean = contiguous(mean, 1);
  rstd = contiguous(rstd, 1);
  const Rows in(op, grad);
  const DType dtype = dtype_of(op, type);
  for (const auto& [name, t] : {std::pair("mean", &mean), std::pair("rstd", &rstd)})
    require(t->numel() == in.batch * in.seq && t->scalar_type() == compute_type(dtype) &&
                t->device() == grad.device(),
            op, ": expected ", name,
            " of one element a row, float32 (float64 for float64), on the device of grad");
  check_affine(op, "weight", weight, grad, in.hidden, affine);
  const std::optional<Tensor> w = contiguous(weight, B::kAlignment);

  const auto row = [&](bool needed) { return new_empty(grad, {needed ? in.hidden : 0}, affine); };
  const Tensor dx = new_empty(grad, sizes_of(grad), type);
  const Tensor dweight = row(need_weight), dbias = row(need_bias);

  NormGradArgs norm;
  norm.grad = norm.du = dx.mutable_data_ptr();
  norm.normalized = x.const_data_ptr();
  norm.mean = mean.const_data_ptr();
  norm.rstd = rstd.const_data_ptr();
  norm.residual = grad.const_data_ptr();
  norm.weight = data_or_null(w);
  norm.rows = in.batch * in.seq;
  norm.hidden = in.hidden;
  norm.dweight = need_weight ? dweight.mutable_data_ptr() : nullptr;
  norm.dbias = need_bias ? dbias.mutable_data_ptr() : nullptr;
  norm.wide_affine = affine != type;
  norm.norm = norm_type(rms);
  norm.dtype = dtype;

  // dx = grad + Norm'(scale M(grad)): first the mix, to dx, then the norm's gradient in place.
  MixArgs args = mix_args(in, dtype, scale);
  args.y = dx.mutable_data_ptr();
  B::backward(norm, args, nullptr, grad);
  return {dx, dweight, dbias};
}

}  // namespace fnet::binding
