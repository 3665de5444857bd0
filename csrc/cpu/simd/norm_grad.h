// The norm's gradient, row by row; see NormGradArgs.
#pragma once

#include "core/args.h"
#include "core/layer_norm.h"
#include "cpu/simd/prefetch.h"
#include "cpu/simd/storage.h"
#include "cpu/simd/sweep.h"

namespace fnet::FNET_ISA {

// Rows [begin, end), which it adds to dweight and dbias, the partial sums [hidden] of a chunk, or
// null. NormFirst: args.mean is not null.
template <int W, bool NormFirst, class T>
void norm_grad_rows(const NormGradArgs& args, const Compute<T>* weight, int64_t begin, int64_t end,
                    Compute<T>* dweight, Compute<T>* dbias) {
  using R = Compute<T>;
  const int64_t d = args.hidden;
  for (int64_t n = begin; n < end; ++n) {
    const T* grad = static_cast<const T*>(args.grad) + n * d;
    const T* normalized = static_cast<const T*>(args.normalized) + n * d;
    const T* residual = NormFirst ? static_cast<const T*>(args.residual) + n * d : nullptr;
    T* du = static_cast<T*>(args.du) + n * d;
    const R factor = args.rstd ? with_short_nan(static_cast<const R*>(args.rstd)[n]) : R(1);
    const R mean = NormFirst ? with_short_nan(static_cast<const R*>(args.mean)[n]) : R(0);
    const auto normalized_lanes = [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
      const auto v = load<at.width>(normalized + l);
      if constexpr (NormFirst)
        return normalize(v, mean, factor);
      else
        return v;
    };

    RowSum<R, W> sum_g, sum_gx;
    sweep<W>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
      prefetch<at.width * sizeof(T)>(grad + l + d);  // the next row
      prefetch<at.width * sizeof(T)>(normalized + l + d);
      const auto dy = load<at.width>(grad + l), xhat = normalized_lanes(at, l);
      const auto g = dy * load<at.width>(weight + l);
      sum_g.add(at, g);
      sum_gx.add(at, g * xhat);
      if (dweight) store<at.width>(dweight + l, load<at.width>(dweight + l) + dy * xhat);
      if (dbias) store<at.width>(dbias + l, load<at.width>(dbias + l) + dy);
    });
    const R mean_g = args.norm == NormType::kRms ? R(0) : sum_g.total() / R(d);
    const R mean_gx = sum_gx.total() / R(d);

    sweep<W>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
      const auto g = load<at.width>(grad + l) * load<at.width>(weight + l);
      const auto gradient = norm_gradient(g, normalized_lanes(at, l), mean_g, mean_gx) * factor;
      if constexpr (NormFirst)
        store<at.width>(du + l, load<at.width>(residual + l) + gradient);
      else
        store<at.width>(du + l, gradient);
    });
  }
}

}  // namespace fnet::FNET_ISA
