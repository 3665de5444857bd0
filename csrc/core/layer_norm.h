// LayerNorm's formulas over any T with + - *: a float, lanes, a CUDA thread's register. RMSNorm's
// are those with zeros for mean and mean_g.
#pragma once

#include <cmath>

#include "fft/complex.h"

namespace fnet {

// 1 / sqrt(var + eps) from the sum of squared deviations of `count` numbers.
template <class S>
FNET_FN S reciprocal_std(S squares, S count, S eps) {
#if defined(__CUDA_ARCH__)  // within 2 ulp, without a division or a slow path
  if constexpr (sizeof(S) == sizeof(float)) return rsqrtf(squares / count + eps);
#endif
  using std::sqrt;
  return S(1) / sqrt(squares / count + eps);
}

// The row before the affine part. The lanes of u share one mean and rstd, or have one each.
template <class T, class S>
FNET_FN T normalize(T u, S mean, S rstd) {
  return (u - mean) * rstd;
}

// du / rstd for g = grad * weight, from the row means of g and of g * normalized.
template <class T>
FNET_FN T norm_gradient(T g, T normalized, Scalar<T> mean_g, Scalar<T> mean_g_normalized) {
  return g - mean_g - normalized * mean_g_normalized;
}

}  // namespace fnet
