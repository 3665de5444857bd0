// Checks of the ops' arguments. An error names the op, the argument and what was expected.
#pragma once

#include <cmath>
#include <optional>
#include <string>

#include "torch/tensors.h"

namespace fnet::binding {

inline void check_scale(const char* op, double scale) {
  require(std::isfinite(scale), op, ": expected scale that is finite, got ", scale);
}

// The dtype of weight and bias: that of x, or float32 if x has 16 bits and weight is float32.
inline ScalarType affine_type(const std::optional<Tensor>& weight, const Tensor& x) {
  const ScalarType type = x.scalar_type();
  const bool narrow = type == ScalarType::BFloat16 || type == ScalarType::Half;
  const bool wide = narrow && weight && weight->scalar_type() == ScalarType::Float;
  return wide ? ScalarType::Float : type;
}

// The dtype and shape of a tensor, as text: "Float [2, 512, 768]".
inline std::string described(const Tensor& t) {
  std::string text = torch::headeronly::toString(t.scalar_type());
  text += " [";
  for (int64_t i = 0; i < t.dim(); ++i) text += (i > 0 ? ", " : "") + std::to_string(t.size(i));
  return text + "]";
}

// The optional row t, weight or bias of `in`: checked, contiguous and aligned.
inline std::optional<Tensor> affine_row(const char* op, const char* name,
                                        const std::optional<Tensor>& t, const Rows& in,
                                        ScalarType type, int64_t alignment) {
  if (!t) return std::nullopt;
  require(t->dim() == 1 && t->size(0) == in.hidden, op, ": expected ", name, " of shape [",
          in.hidden, "], got ", described(*t));
  require(t->scalar_type() == type, op, ": expected ", name, " of the dtype of ",
          type == in.x.scalar_type() ? in.name : "weight", ", ", torch::headeronly::toString(type),
          ", got ", torch::headeronly::toString(t->scalar_type()));
  require(t->device() == in.x.device(), op, ": expected ", name, " on the device of ", in.name,
          ", got one on another device");
  return contiguous(*t, alignment);
}

// Checks that a tensor has the shape, dtype and device of `like`.
inline void check_like(const char* op, const char* name, const Tensor& t, const char* of,
                       const Tensor& like) {
  require(sizes_of(t) == sizes_of(like) && t.scalar_type() == like.scalar_type() &&
              t.device() == like.device(),
          op, ": expected ", name, " of the shape, dtype and device of ", of, ", ", described(like),
          ", got ", described(t), t.device() == like.device() ? "" : " on another device");
}

// Checks a statistic of each row of grad: mean or rstd.
inline void check_statistic(const char* op, const char* name, const Tensor& t, const Rows& in,
                            const Tensor& grad) {
  const ScalarType type = compute_type(dtype_of(op, grad.scalar_type(), in.name));
  require(t.numel() == in.batch * in.seq && t.scalar_type() == type && t.device() == grad.device(),
          op, ": expected ", name, " of one element a row, ", in.batch * in.seq, ", of ",
          torch::headeronly::toString(type), " on the device of grad, got ", described(t),
          t.device() == grad.device() ? "" : " on another device");
}

}  // namespace fnet::binding
