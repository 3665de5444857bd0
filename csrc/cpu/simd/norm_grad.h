// LayerNorm's gradient, row by row; see NormGradArgs.
#pragma once

#include "core/args.h"
#include "core/layer_norm.h"
#include "cpu/simd/prefetch.h"
#include "cpu/simd/storage.h"
#include "cpu/simd/sweep.h"

namespace fnet::FNET_ISA {

// Rows [begin, end). dweight and dbias are this chunk's partial sums [hidden], or null.
template <int W, class T>
void norm_grad_rows(const NormGradArgs& args, const Compute<T>* weight, int64_t begin, int64_t end,
                    Compute<T>* dweight, Compute<T>* dbias) {
  using R = Compute<T>;
  const int64_t d = args.hidden;
  for (int64_t l = 0; l < d; ++l) {
    if (dweight) dweight[l] = 0;
    if (dbias) dbias[l] = 0;
  }

  for (int64_t n = begin; n < end; ++n) {
    const T* grad = static_cast<const T*>(args.grad) + n * d;
    const T* normalized = static_cast<const T*>(args.normalized) + n * d;
    T* du = static_cast<T*>(args.du) + n * d;
    const R factor = args.rstd ? static_cast<const R*>(args.rstd)[n] : R(1);

    RowSum<R, W> sum_g, sum_gx;
    sweep<W>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
      prefetch<at.width * sizeof(T)>(grad + l + d);  // the next row
      prefetch<at.width * sizeof(T)>(normalized + l + d);
      const auto dy = load<at.width>(grad + l), xhat = load<at.width>(normalized + l);
      const auto g = dy * load<at.width>(weight + l);
      sum_g.add(at, g);
      sum_gx.add(at, g * xhat);
      if (dweight) store<at.width>(dweight + l, load<at.width>(dweight + l) + dy * xhat);
      if (dbias) store<at.width>(dbias + l, load<at.width>(dbias + l) + dy);
    });
    const R mean_g = sum_g.total() / R(d), mean_gx = sum_gx.total() / R(d);

    sweep<W>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
      const auto g = load<at.width>(grad + l) * load<at.width>(weight + l);
      const auto gradient = norm_gradient(g, load<at.width>(normalized + l), mean_g, mean_gx);
      store<at.width>(du + l, gradient * factor);
    });
  }
}

}  // namespace fnet::FNET_ISA
