// The fold, from x to the lines of the seq pass: g[n, m] = x[n, m] + x[-n, -m], in tiles of 2 W
// columns.
#pragma once

#include "cpu/line_plan.h"
#include "cpu/simd/prefetch.h"
#include "cpu/simd/storage.h"
#include "fft/mirror.h"

namespace fnet::FNET_ISA {

// The sequence that the pass reads. The fold multiplies row n of x by weight[n].
template <class T>
struct SeqInput {
  const T* x;
  int64_t row_stride;
  int64_t rows;    // of x; zeros follow
  const T* zeros;  // a row
  // weight[n] = row_scale[n] * scale / 4: fold and unpacking each contribute a factor of 1/2.
  const Compute<T>* weight;

  // Whole: no zeros follow.
  template <bool Whole>
  FNET_FN const T* row(int64_t n) const {
    return Whole || n < rows ? x + n * row_stride : zeros;
  }
};

// Rows of x are prefetched this far ahead of the fold, because no hardware prefetcher follows
// accesses one row apart. They go to L2 only: rows of power-of-two length share a few sets of L1.
constexpr int64_t kRowsAhead = 32;

// Writes V columns from m and V columns from m + W of row n of g, m = m0 + 2Wi, to point n of line
// i, for i < count. Columns and mirror columns do not wrap around, except column 0, which is its
// own mirror; its tile is folded alone (First).
template <int W, int V, bool First, bool Whole, class T>
void fold_straight(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                   int64_t m0, int64_t count, Complex<Lanes<Compute<T>, V>>* lines) {
  constexpr int64_t kBytes = (W + V) * sizeof(T);
  const int64_t seq = plan.length, stride = in.row_stride, extent = plan.extent;
  for (int64_t n = 0; n < seq; ++n) {
    const int64_t minus_n = mirror(n, seq);
    const int64_t ahead = n + kRowsAhead < seq ? kRowsAhead * stride : 0;
    const int64_t up_ahead = Whole || n + kRowsAhead < in.rows ? ahead : 0;
    const int64_t down_ahead = Whole || minus_n < in.rows ? ahead : 0;
    const Compute<T> w = in.weight[n], mirror_w = in.weight[minus_n];
    const T* mirror_row = in.template row<Whole>(minus_n);
    const T* up = in.template row<Whole>(n) + m0;          // columns m0 to m0 + W + V - 1
    const T* down = mirror_row + hidden - m0 - W - V + 1;  // -(m0 + W + V - 1) to -m0
    auto* point = lines + plan.entry[n];
    prefetch<1>(down + W + V - 1 - down_ahead);
    if constexpr (First) prefetch<1>(mirror_row - down_ahead);
    for (int64_t i = 0; i < count; ++i, up += 2 * W, down -= 2 * W, point += extent) {
      prefetch<kBytes>(up + up_ahead), prefetch<kBytes>(down - down_ahead);
      const auto near = [&]() FNET_INLINE_LAMBDA {
        if constexpr (First)
          return after(load_scalar(mirror_row[0]), reverse(load<V>(down + W - 1)));
        else
          return reverse(load<V>(down + W));
      };
      *point = {load<V>(up) * w + near() * mirror_w,
                load<V>(up + W) * w + reverse(load<V>(down)) * mirror_w};
    }
  }
}

// Loads W columns of a row from m on, or their mirror columns, one by one and wrapping around.
template <int W, class T>
FNET_FN Lanes<Compute<T>, W> wrapped_columns(const T* row, int64_t hidden, int64_t m, bool up) {
  Compute<T> lane[W];
  m %= hidden;
  for (int i = 0; i < W; ++i, m = m + 1 < hidden ? m + 1 : 0)
    lane[i] = load_scalar(row[up ? m : mirror(m, hidden)]);
  return Lanes<Compute<T>, W>::load(lane);
}

// The fold for tiles that wrap around: the last ones of a small hidden size.
template <int W, int V, class T>
void fold_wrapped(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                  int64_t m0, int64_t count, Complex<Lanes<Compute<T>, V>>* lines) {
  for (int64_t n = 0; n < plan.length; ++n) {
    const int64_t minus_n = mirror(n, plan.length);
    const auto fold = [&](int64_t m) {
      return wrapped_columns<V>(in.template row<false>(n), hidden, m, true) * in.weight[n] +
             wrapped_columns<V>(in.template row<false>(minus_n), hidden, m, false) *
                 in.weight[minus_n];
    };
    auto* point = lines + plan.entry[n];
    for (int64_t i = 0; i < count; ++i, point += plan.extent)
      *point = {fold(m0 + i * 2 * W), fold(m0 + i * 2 * W + W)};
  }
}

template <int W, int V, class T>
void fold_tiles(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden, int64_t m0,
                int64_t count, Complex<Lanes<Compute<T>, V>>* lines) {
  if (m0 + count * 2 * W - W + V > hidden)
    return fold_wrapped<W, V>(in, plan, hidden, m0, count, lines);
  const auto fold = [&]<bool Whole>(std::bool_constant<Whole>) {
    if (m0 == 0) {
      fold_straight<W, V, true, Whole>(in, plan, hidden, 0, 1, lines);
      m0 += 2 * W, --count, lines += plan.extent;
    }
    if (count > 0) fold_straight<W, V, false, Whole>(in, plan, hidden, m0, count, lines);
  };
  in.rows == plan.length ? fold(std::true_type{}) : fold(std::false_type{});
}

}  // namespace fnet::FNET_ISA
