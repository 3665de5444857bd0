// Loops over a row: whole vectors, then the remaining elements one by one, with the same body.
#pragma once

#include "cpu/simd/lanes.h"

namespace fnet::FNET_ISA {

// Successive vectors of a row belong to different chains, so that the additions of a sum overlap.
inline constexpr int kChains = 4;

// Calls body(at, i) for i = 0, W, 2W, ... with at.width = W, then with width 1 for the remaining
// elements.
template <int Width, int Chain>
struct At {
  static constexpr std::integral_constant<int, Width> width{};
  static constexpr int chain = Chain;
};

template <int W, class F>
FNET_FN void sweep(int64_t count, const F& body) {
  int64_t i = 0;
  for (; i + kChains * W <= count; i += kChains * W)
    static_for<kChains>([&](auto c) FNET_INLINE_LAMBDA { body(At<W, c>{}, i + c * W); });
  for (; i + W <= count; i += W) body(At<W, 0>{}, i);
  for (; i < count; ++i) body(At<1, 0>{}, i);
}

// The sum of a row, accumulated in a sweep.
template <class R, int W>
struct RowSum {
  Lanes<R, W> chain[kChains] = {};
  Lanes<R, 1> tail = {};

  template <int Width, int Chain>
  FNET_FN void add(At<Width, Chain>, Lanes<R, Width> a) {
    if constexpr (Width == W)
      chain[Chain] += a;
    else
      tail += a;
  }
  FNET_FN R total() const {
    return sum_lanes((chain[0] + chain[1]) + (chain[2] + chain[3])) + sum_lanes(tail);
  }
};

}  // namespace fnet::FNET_ISA
