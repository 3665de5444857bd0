// The second pass, from G to y: the transform along hidden for 2 W rows of G or parts of them
// (tiles.h), then the epilogue for twice as many rows of y.
//
// Lanes are rows. With H[m] = G[m] for m <= d/2 and conj G[d - m] above, r = DFT(H) is real: the
// inverse transform of conj G. Two bands a and b of W rows form one complex line H_a + i H_b, whose
// transform is r_a + i r_b.
#pragma once

#include "cpu/caches.h"
#include "cpu/simd/line_fft.h"
#include "cpu/simd/prefetch.h"
#include "cpu/simd/row_epilogue.h"
#include "cpu/simd/tiles.h"
#include "cpu/simd/transpose.h"
#include "cpu/spectrum.h"

namespace fnet::FNET_ISA {

// Rows of r in progress at a time: the lanes of a vector of 32 bytes, or of 16 bytes in parts of
// tiles. Fewer rows take less scratch, but their smaller vectors take longer to transpose.
template <class R, int W, int V>
inline constexpr int kMixedRows = min_of(V, int((V < W ? 16 : 32) / sizeof(R)));

// Transposes Q lanes of the transformed line into Q rows of r. `lane` is the first of them in point
// 0: of the real parts or of the imaginary parts, which are V lanes further.
template <int Q, int V, class R>
FNET_FN void rows_from_line(const LinePlan<R>& plan, const R* lane, const MixedRows<R>& rows) {
  const auto put = [&](int64_t l, auto whole) FNET_INLINE_LAMBDA {
    Lanes<R, Q> tile[Q];
    static_for<Q>([&](auto i) FNET_INLINE_LAMBDA {
      const int64_t point = plan.position[whole ? l + i : min_of(l + i, plan.length - 1)];
      tile[i] = Lanes<R, Q>::load(lane + point * 2 * V);
    });
    transpose(tile);
    static_for<Q>([&](auto i) FNET_INLINE_LAMBDA { tile[i].store(rows.row(i) + l); });
  };
  int64_t l = 0;
  for (; l + Q <= plan.length; l += Q) put(l, std::true_type{});
  if (l < plan.length) put(l, std::false_type{});
}

// V rows of two bands of G at one column.
template <int V, class R>
struct BandPair {
  Lanes<R, V> a_re, a_im, b_re, b_im;
};

// Sets point m of the line to H_a[m] + i H_b[m] for all m < hidden, where load(m) returns V rows of
// bands a and b of G. Calls meanwhile(m) for m = 0 .. hidden / 2.
template <int V, class R, class Load, class Meanwhile>
void pack_bands(const LinePlan<R>& plan, Complex<Lanes<R, V>>* line, const Load& load,
                const Meanwhile& meanwhile) {
  for (int64_t m = 0; 2 * m <= plan.length; ++m) {
    meanwhile(m);
    const auto [a_re, a_im, b_re, b_im] = load(m);
    if (m > 0)
      line[plan.entry[plan.length - m]] = {a_re + b_im, b_re - a_im};  // conj H_a + i conj H_b
    line[plan.entry[m]] = {a_re - b_im, a_im + b_re};
  }
}

// Packs the bands of the part that begins at row k0.
template <int W, int V, class R, class Meanwhile>
void pack_part(const LinePlan<R>& plan, const SpectrumLayout& layout, const R* G, int64_t k0,
               Complex<Lanes<R, V>>* line, const Meanwhile& meanwhile) {
  using L = Lanes<R, V>;
  const auto pack = [&](const auto& load) { pack_bands<V>(plan, line, load, meanwhile); };
  const int64_t band = k0 / W;
  if (band == layout.bands())  // row N/2, in place of the imaginary parts of row 0
    return pack([last = G + W](int64_t m) FNET_INLINE_LAMBDA {
      const L re = L::broadcast(last[m * 2 * W]), im = L::broadcast(0);
      return BandPair<V, R>{re, im, re, im};
    });
  const R* a = G + layout.at(band, 0) + k0 % W;
  const R* b = a + (band + 1 < layout.bands() ? layout.band_size() : 0);
  const auto load = [a, b](int64_t m) FNET_INLINE_LAMBDA {
    const R *at_a = a + m * 2 * W, *at_b = b + m * 2 * W;
    return BandPair<V, R>{L::load(at_a), L::load(at_a + W), L::load(at_b), L::load(at_b + W)};
  };
  if (k0 > 0 || !layout.packs_last_row()) return pack(load);
  pack([load](int64_t m) FNET_INLINE_LAMBDA {
    BandPair<V, R> rows = load(m);
    rows.a_im.v[0] = 0;  // row N/2 is there
    return rows;
  });
}

// One part of a tile: V rows of r from k and V from k + W, and the 4 V rows of y that follow from
// them. Scratch: `line` of plan.extent elements, kMixedRows rows of r, and one row u.
template <int W, int V, class T>
void row_tile(const RowOutput<T>& out, const LinePlan<Compute<T>>& plan, const Compute<T>* G,
              int64_t part, Complex<Lanes<Compute<T>, V>>* line, const MixedRows<Compute<T>>& rows,
              Compute<T>* u) {
  const SpectrumLayout layout{out.seq, out.hidden, W};
  const int64_t k0 = tile_start<W, V>(part);
  // Meanwhile, prefetch the rows of x that the epilogue adds: k to k + V - 1 and their mirrors, for
  // k = k0 and k0 + W. If the spectrum exceeds L2, the loads of the spectrum would wait for these
  // prefetches.
  const bool prefetches =
      out.epilogue != Epilogue::kMix && layout.size() * int64_t(sizeof(Compute<T>)) <= l2_bytes();
  const T* up = prefetches ? out.residual + k0 * out.residual_stride : nullptr;
  const T* down =
      prefetches ? out.residual + (out.seq - k0 - V + 1) * out.residual_stride : nullptr;
  const int64_t to_b = W * out.residual_stride;
  pack_part<W, V>(plan, layout, G, k0, line, [&](int64_t m) FNET_INLINE_LAMBDA {
    if (!prefetches) return;
    prefetch<2 * V * sizeof(T)>(up + m * 2 * V);
    prefetch<2 * V * sizeof(T)>(down + m * 2 * V);
    prefetch<2 * V * sizeof(T)>(up + to_b + m * 2 * V);
    prefetch<2 * V * sizeof(T)>(down - to_b + m * 2 * V);
  });
  line_fft(plan, line);
  const auto finish = [&](int64_t first_row, const Compute<T>* lane) {
    constexpr int Q = kMixedRows<Compute<T>, W, V>;
    for (int64_t i = 0; i < V && first_row + i < layout.rows(); i += Q) {
      rows_from_line<Q, V>(plan, lane + i, rows);
      finish_rows<W>(out, first_row + i, min_of<int64_t>(Q, layout.rows() - first_row - i), rows,
                     u);
    }
  };
  const auto* lanes = reinterpret_cast<const Compute<T>*>(line);
  finish(k0, lanes);
  finish(k0 + W, lanes + V);
}

}  // namespace fnet::FNET_ISA
