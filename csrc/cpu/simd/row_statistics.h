// Mean and reciprocal deviation of a row.
#pragma once

#include "core/args.h"
#include "core/layer_norm.h"
#include "cpu/simd/storage.h"
#include "cpu/simd/sweep.h"

namespace fnet::FNET_ISA {

template <class R>
struct RowStatistics {
  R mean, rstd;
};

// The statistics of a row of `hidden` numbers with the given sum. The deviations are summed in a
// pass of their own, because mean(u^2) - mean(u)^2 cancels.
template <int W, class T>
FNET_FN RowStatistics<Compute<T>> statistics_of(const T* u, int64_t hidden, Compute<T> sum,
                                                NormType norm, Compute<T> eps) {
  using R = Compute<T>;
  const R mean = norm == NormType::kRms ? R(0) : sum / R(hidden);
  RowSum<R, W> squares;
  sweep<W>(hidden, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
    const auto deviation = load<at.width>(u + l) - mean;
    squares.add(at, deviation * deviation);
  });
  return {mean, reciprocal_std(squares.total(), R(hidden), eps)};
}

template <int W, class T>
FNET_FN Compute<T> sum_of(const T* u, int64_t hidden) {
  RowSum<Compute<T>, W> sum;
  sweep<W>(hidden,
           [&](auto at, int64_t l) FNET_INLINE_LAMBDA { sum.add(at, load<at.width>(u + l)); });
  return sum.total();
}

}  // namespace fnet::FNET_ISA
