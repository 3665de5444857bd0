// The epilogue of a row: from r = scale M(x)[n, :] and the residual's row n to y[n, :].
#pragma once

#include "core/args.h"
#include "core/layer_norm.h"
#include "cpu/simd/row_statistics.h"
#include "cpu/simd/storage.h"
#include "cpu/simd/sweep.h"
#include "fft/mirror.h"

namespace fnet::FNET_ISA {

// The residual and output rows of one sequence's epilogue.
template <class T>
struct RowOutput {
  using R = Compute<T>;
  int64_t seq, hidden;
  Epilogue epilogue;
  NormType norm;
  const T* residual;
  int64_t residual_stride;
  const R* residual_scale;  // of each row; null: 1
  bool residual_is_input;   // the residual is x, or x times residual_scale
  int64_t rows;             // of y
  const R *weight, *bias;   // [hidden], never null
  R eps;
  T* y;
  T* normalized;  // or null
  R* rstd;        // or null
  bool streams;   // y and normalized use non-temporal stores; rows are then aligned to 64 bytes
};

// Rows of r with padding, so that W lanes can be written at a time. Element `hidden` repeats
// element 0, so the mirror of a row needs no special case.
template <class R>
struct MixedRows {
  R* base;
  int64_t pitch;

  static FNET_FN int64_t pitch_for(int64_t hidden, int width) {
    return (hidden / width + 1) * width;
  }
  FNET_FN R* row(int64_t i) const { return base + i * pitch; }
};

// r[l .. l + Width), or its mirror r[-l], r[-l - 1], ...
template <bool Mirrored, int Width, class R>
FNET_FN Lanes<R, Width> mixed_lanes(const R* r, int64_t hidden, int64_t l) {
  if constexpr (Mirrored) return reverse(load<Width>(r + hidden - l - (Width - 1)));
  return load<Width>(r + l);
}

template <int Width, bool Streams, class T>
FNET_FN void put(T* p, Lanes<Compute<T>, Width> v) {
  if constexpr (Streams)
    stream<Width>(p, v);
  else
    store<Width>(p, v);
}

// Writes output row n, if y has it. u is scratch for one row; y may be x.
template <int W, bool Mirrored, bool Streams, class T>
void finish_row(const RowOutput<T>& out, int64_t n, const Compute<T>* r, Compute<T>* u) {
  using R = Compute<T>;
  if (n >= out.rows) return;
  const int64_t d = out.hidden;
  T* y = out.y + n * d;
  const T* residual = out.residual + n * out.residual_stride;
  const R residual_scale = out.residual_scale ? with_short_nan(out.residual_scale[n]) : R(1);

  switch (out.epilogue) {
    case Epilogue::kMix:
      sweep<W>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
        put<at.width, Streams>(y + l, mixed_lanes<Mirrored, at.width>(r, d, l));
      });
      return;
    case Epilogue::kResidual:
      sweep<W>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
        put<at.width, Streams>(y + l, load<at.width>(residual + l) * residual_scale +
                                          mixed_lanes<Mirrored, at.width>(r, d, l));
      });
      return;
    case Epilogue::kNorm: break;
  }

  RowSum<R, W> sum;
  sweep<W>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
    const auto v =
        load<at.width>(residual + l) * residual_scale + mixed_lanes<Mirrored, at.width>(r, d, l);
    store<at.width>(u + l, v);
    sum.add(at, v);
  });
  const RowStatistics<R> row = statistics_of<W>(u, d, sum.total(), out.norm, out.eps);
  const R mean = row.mean, rstd = row.rstd;
  if (out.rstd) out.rstd[n] = rstd;

  const R *weight = out.weight, *bias = out.bias;
  const auto write = [&](auto keeps, T* normalized) FNET_INLINE_LAMBDA {
    sweep<W>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
      const auto v = normalize(load<at.width>(u + l), mean, rstd);
      if constexpr (keeps) put<at.width, Streams>(normalized + l, v);
      put<at.width, Streams>(y + l, v * load<at.width>(weight + l) + load<at.width>(bias + l));
    });
  };
  out.normalized ? write(std::true_type{}, out.normalized + n * d)
                 : write(std::false_type{}, nullptr);
}

// Writes rows k .. k + count - 1 and their mirrors, both from the same rows of r, because
// M(x)[-k, l] = M(x)[k, -l]. First the rows, then the mirrors, each in memory order, which hardware
// prefetchers follow.
template <int W, class T>
void finish_rows(const RowOutput<T>& out, int64_t k, int64_t count,
                 const MixedRows<Compute<T>>& rows, Compute<T>* u) {
  const auto finish = [&](auto streams) FNET_INLINE_LAMBDA {
    for (int64_t i = 0; i < count; ++i) {
      rows.row(i)[out.hidden] = rows.row(i)[0];
      finish_row<W, false, streams.value>(out, k + i, rows.row(i), u);
    }
    for (int64_t i = count - 1; i >= 0; --i) {
      const int64_t minus_k = mirror(k + i, out.seq);
      if (minus_k != k + i) finish_row<W, true, streams.value>(out, minus_k, rows.row(i), u);
    }
  };
  out.streams ? finish(std::true_type{}) : finish(std::false_type{});
}

}  // namespace fnet::FNET_ISA
