// W x W transposes in registers by log2(W) rounds of two-input shuffles.
#pragma once

#include "cpu/simd/lanes.h"

namespace fnet::FNET_ISA {

// One butterfly round for rows i and i + S: row i trades its lanes with bit S set for the lanes of
// row i + S with bit S clear.
template <int S, class R, int W, int... I>
FNET_FN void trade(Lanes<R, W>& a, Lanes<R, W>& b, std::integer_sequence<int, I...>) {
  const Lanes<R, W> low = shuffle<(I & S ? W + I - S : I)...>(a, b);
  b = shuffle<(I & S ? W + I : I + S)...>(a, b);
  a = low;
}

template <int S, class R, int W>
FNET_FN void trade_rounds(Lanes<R, W> (&row)[W]) {
  if constexpr (S < W) {
    static_for<W>([&](auto i) FNET_INLINE_LAMBDA {
      if constexpr ((i & S) == 0)
        trade<S>(row[i], row[i + S], std::make_integer_sequence<int, W>{});
    });
    trade_rounds<2 * S>(row);
  }
}

// Interleaves a and b within each group of four lanes: low halves to a, high halves to b.
template <class R, int W, int... I>
FNET_FN void unpack(Lanes<R, W>& a, Lanes<R, W>& b, std::integer_sequence<int, I...>) {
  const Lanes<R, W> low = shuffle<((I & ~3) + (I & 3) / 2 + (I & 1 ? W : 0))...>(a, b);
  b = shuffle<((I & ~3) + 2 + (I & 3) / 2 + (I & 1 ? W : 0))...>(a, b);
  a = low;
}

// row[i] lane j  <->  row[j] lane i.
template <class R, int W>
FNET_FN void transpose(Lanes<R, W> (&row)[W]) {
  if constexpr (sizeof(R) == 4 && W >= 4) {
    // The first two rounds together, within 16-byte groups, for which x86 has unpack instructions.
    constexpr auto lanes = std::make_integer_sequence<int, W>{};
    static_for<W / 4>([&](auto quad) FNET_INLINE_LAMBDA {
      constexpr int q = 4 * quad;
      unpack(row[q], row[q + 1], lanes);      // a0 b0 a1 b1 | a2 b2 a3 b3
      unpack(row[q + 2], row[q + 3], lanes);  // c0 d0 c1 d1 | c2 d2 c3 d3
      trade<2>(row[q], row[q + 2], lanes);    // a0 b0 c0 d0 | a1 b1 c1 d1
      trade<2>(row[q + 1], row[q + 3], lanes);
      const Lanes<R, W> middle = row[q + 1];
      row[q + 1] = row[q + 2];
      row[q + 2] = middle;
    });
    trade_rounds<4>(row);
  } else {
    trade_rounds<1>(row);
  }
}

}  // namespace fnet::FNET_ISA
