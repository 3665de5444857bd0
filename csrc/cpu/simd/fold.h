// The fold, from x to the lines of the seq pass: g[n, m] = x[n, m] + x[-n, -m], in tiles of 2 W
// columns. The factors of the rows hold scale / 4: fold and unpacking each contribute 1/2.
#pragma once

#include "cpu/line_plan.h"
#include "cpu/simd/input_rows.h"
#include "cpu/simd/prefetch.h"
#include "fft/mirror.h"

namespace fnet::FNET_ISA {

// Rows of x are prefetched this far ahead of the fold, because no hardware prefetcher follows
// accesses one row apart. They go to L2 only: rows of power-of-two length share a few sets of L1.
constexpr int64_t kRowsAhead = 32;

// Writes V columns from m and V columns from m + W of row n of g, m = m0 + 2Wi, to point n of line
// i, for i < count. Columns and mirror columns do not wrap around, except column 0, which is its
// own mirror; its tile is folded alone (First).
template <int W, int V, bool First, bool Normalizes, class T>
void fold_straight(const InputRows<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                   int64_t m0, int64_t count, Complex<Lanes<Compute<T>, V>>* lines) {
  using Row = InputRow<Normalizes, T>;
  constexpr int64_t kBytes = (W + V) * sizeof(T);
  const int64_t seq = plan.length, extent = plan.extent, last_ahead = in.rows - kRowsAhead;
  for (int64_t n = 0; n < seq; ++n) {
    const int64_t minus_n = mirror(n, seq);
    const int64_t ahead = n < last_ahead ? kRowsAhead * in.stride : 0;
    const Row row(in, n, in.factor[n]), mirror_row(in, minus_n, in.factor[minus_n]);
    int64_t up = m0;                         // columns m0 to m0 + W + V - 1
    int64_t down = hidden - m0 - W - V + 1;  // -(m0 + W + V - 1) to -m0
    auto* point = lines + plan.entry[n];
    prefetch<1>(mirror_row.x + down + W + V - 1 - ahead);
    if constexpr (First) prefetch<1>(mirror_row.x - ahead);
    for (int64_t i = 0; i < count; ++i, up += 2 * W, down -= 2 * W, point += extent) {
      prefetch<kBytes>(row.x + up + ahead), prefetch<kBytes>(mirror_row.x + down - ahead);
      const auto near = [&]() FNET_INLINE_LAMBDA {
        if constexpr (First)
          return after(mirror_row.element(0), reverse(mirror_row.template lanes<V>(down + W - 1)));
        else
          return reverse(mirror_row.template lanes<V>(down + W));
      };
      *point = {row.template lanes<V>(up) + near(),
                row.template lanes<V>(up + W) + reverse(mirror_row.template lanes<V>(down))};
    }
  }
}

// W columns of a row from m on, or their mirror columns, one by one and wrapping around.
template <int W, class Row>
FNET_FN auto wrapped_columns(const Row& row, int64_t hidden, int64_t m, bool up) {
  using R = typename Row::R;
  R lane[W];
  m %= hidden;
  for (int i = 0; i < W; ++i, m = m + 1 < hidden ? m + 1 : 0)
    lane[i] = row.element(up ? m : mirror(m, hidden));
  return Lanes<R, W>::load(lane);
}

// The fold of the tile that wraps around: the only whole one, of a hidden size below 2 W.
template <int W, int V, bool Normalizes, class T>
void fold_wrapped(const InputRows<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                  int64_t m0, Complex<Lanes<Compute<T>, V>>* line) {
  using Row = InputRow<Normalizes, T>;
  for (int64_t n = 0; n < plan.length; ++n) {
    const int64_t minus_n = mirror(n, plan.length);
    const Row row(in, n, in.factor[n]), mirror_row(in, minus_n, in.factor[minus_n]);
    const auto fold = [&](int64_t m) {
      return wrapped_columns<V>(row, hidden, m, true) +
             wrapped_columns<V>(mirror_row, hidden, m, false);
    };
    line[plan.entry[n]] = {fold(m0), fold(m0 + W)};
  }
}

template <int W, int V, bool Normalizes, class T>
void fold_kind(const InputRows<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden, int64_t m0,
               int64_t count, Complex<Lanes<Compute<T>, V>>* lines) {
  if (m0 + count * 2 * W - W + V > hidden)
    return fold_wrapped<W, V, Normalizes>(in, plan, hidden, m0, lines);
  if (m0 == 0) {
    fold_straight<W, V, true, Normalizes>(in, plan, hidden, 0, 1, lines);
    m0 += 2 * W, --count, lines += plan.extent;
  }
  if (count > 0) fold_straight<W, V, false, Normalizes>(in, plan, hidden, m0, count, lines);
}

template <int W, int V, class T>
void fold_tiles(const InputRows<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                int64_t m0, int64_t count, Complex<Lanes<Compute<T>, V>>* lines) {
  in.mean ? fold_kind<W, V, true>(in, plan, hidden, m0, count, lines)
          : fold_kind<W, V, false>(in, plan, hidden, m0, count, lines);
}

}  // namespace fnet::FNET_ISA
