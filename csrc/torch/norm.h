// What the ops with a norm share: calls in a wider dtype, checked arguments, and gradients.
#pragma once

#include <optional>
#include <tuple>
#include <vector>

#include "torch/checks.h"

namespace fnet::binding {

// The dtype of x, and a wider one in which an op calls itself.
struct Widening {
  ScalarType type, wide;

  Tensor widen(const Tensor& t) const { return torch::stable::to(t, wide); }
  std::optional<Tensor> widen(const std::optional<Tensor>& t) const {
    return t ? std::optional<Tensor>(widen(*t)) : std::nullopt;
  }
  Tensor narrow(const Tensor& t) const { return torch::stable::to(t, type); }
};

inline constexpr Widening kFloat16AsFloat32{ScalarType::Half, ScalarType::Float};

// The widening of a call whose weight and bias are wider than x; none if the kernels read both
// dtypes.
inline std::optional<Widening> widening(const std::optional<Tensor>& weight, const Tensor& x,
                                        bool kernels_read_both) {
  if (kernels_read_both) return std::nullopt;
  const ScalarType type = x.scalar_type(), affine = affine_type(weight, x);
  return affine == type ? std::nullopt : std::optional(Widening{type, affine});
}

// Uninitialised, an element for each row of x.
inline Tensor new_statistic(const Tensor& x, DType dtype) {
  std::vector<int64_t> rows = sizes_of(x);
  rows.pop_back();
  return new_empty(x, rows, compute_type(dtype));
}

// What a call with a norm reads, checked; args points into the tensors.
struct NormInputs {
  Rows in;
  MixArgs args;
  ScalarType affine;
  std::optional<Tensor> weight, bias;

  NormInputs(const char* op, const Tensor& x, const std::optional<Tensor>& given_weight,
             const std::optional<Tensor>& given_bias, double eps, double scale, NormType norm,
             int64_t alignment)
      : in(op, x, alignment),
        args(mix_args(in, dtype_of(op, x.scalar_type()), scale)),
        affine(affine_type(given_weight, x)),
        weight(affine_row(op, "weight", given_weight, in, affine, alignment)),
        bias(affine_row(op, "bias", given_bias, in, affine, alignment)) {
    require(eps >= 0 && std::isfinite(eps), op,
            ": expected eps that is finite and not negative, got ", eps);
    check_scale(op, scale);
    args.norm = norm;
    args.eps = eps;
    args.weight = data_or_null(weight);
    args.bias = data_or_null(bias);
    args.wide_affine = affine != x.scalar_type();
  }
};

// The gradients of x, weight and bias, which the kernels write; args points into them and into
// weight. The gradient of a weight or bias that is not needed has no elements. `in` holds the rows
// of the gradient of y.
struct NormGrads {
  ScalarType affine;
  std::optional<Tensor> weight;
  Tensor dx, dweight, dbias;
  NormGradArgs args;

  NormGrads(const char* op, const Rows& in, const std::optional<Tensor>& given_weight,
            NormType norm, bool need_weight, bool need_bias, int64_t alignment)
      : affine(affine_type(given_weight, in.x)),
        weight(affine_row(op, "weight", given_weight, in, affine, alignment)),
        dx(new_empty(in.x, sizes_of(in.x), in.x.scalar_type())),
        dweight(new_empty(in.x, {need_weight ? in.hidden : 0}, affine)),
        dbias(new_empty(in.x, {need_bias ? in.hidden : 0}, affine)) {
    args.weight = data_or_null(weight);
    args.rows = in.batch * in.seq;
    args.hidden = in.hidden;
    args.du = dx.mutable_data_ptr();
    args.dweight = need_weight ? dweight.mutable_data_ptr() : nullptr;
    args.dbias = need_bias ? dbias.mutable_data_ptr() : nullptr;
    args.wide_affine = affine != in.x.scalar_type();
    args.norm = norm;
    args.dtype = dtype_of(op, in.x.scalar_type(), in.name);
  }

  std::tuple<Tensor, Tensor, Tensor> all() const { return {dx, dweight, dbias}; }
};

}  // namespace fnet::binding
