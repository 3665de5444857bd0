// The rows that the transform of a sequence reads: x times a factor per row, or normalised rows.
#pragma once

#include "core/args.h"
#include "core/layer_norm.h"
#include "cpu/simd/storage.h"

namespace fnet::FNET_ISA {

template <class T>
struct InputRows {
  using R = Compute<T>;
  const T* x;
  int64_t stride;
  int64_t rows;     // of x; zeros follow
  const T* zeros;   // a row
  const R* factor;  // [seq], of each row: row_scale or rstd; null: 1
  // Normalised rows are (x - mean) factor weight + bias. The reader multiplies each factor by
  // scale / 4; bias is multiplied by it already.
  const R* mean;           // [seq]; null: rows are not normalised
  const R *weight, *bias;  // [hidden]

  FNET_FN const T* row(int64_t n) const { return n < rows ? x + n * stride : zeros; }
  FNET_FN R factor_of(int64_t n) const { return factor ? with_short_nan(factor[n]) : R(1); }
  FNET_FN R factor_or_one(int64_t n) const { return n < rows ? factor_of(n) : R(1); }
};

// One of the rows, with its factor.
template <bool Normalizes, class T>
struct InputRow {
  using R = Compute<T>;
  const T* x;
  R factor, mean;
  const R *weight, *bias;

  FNET_FN InputRow(const InputRows<T>& rows, int64_t n, R factor)
      : x(rows.row(n)),
        factor(factor),
        mean(Normalizes ? rows.mean[n] : R(0)),
        weight(rows.weight),
        bias(rows.bias) {}

  template <int V>
  FNET_FN Lanes<R, V> lanes(int64_t m) const {
    if constexpr (Normalizes)
      return normalize(load<V>(x + m), mean, factor) * load<V>(weight + m) + load<V>(bias + m);
    else
      return load<V>(x + m) * factor;
  }
  FNET_FN R element(int64_t m) const {
    if constexpr (Normalizes)
      return normalize(load_scalar(x[m]), mean, factor) * weight[m] + bias[m];
    else
      return load_scalar(x[m]) * factor;
  }
};

}  // namespace fnet::FNET_ISA
