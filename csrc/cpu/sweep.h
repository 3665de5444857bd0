// Loops over a row: whole vectors first, then the last few elements one by one with the same body.
#pragma once

#include "cpu/lanes.h"

namespace fnet::FNET_ISA {

// body(width, i) for i = 0, W, 2W, ... with width W, and with width 1 for what is left.
template <int W, class F>
FNET_FN void sweep(int64_t count, const F& body) {
  int64_t i = 0;
  for (; i + W <= count; i += W) body(std::integral_constant<int, W>{}, i);
  for (; i < count; ++i) body(std::integral_constant<int, 1>{}, i);
}

// A sum that takes lanes of either width. Successive vectors go to separate accumulators, so that
// their additions overlap.
template <class R, int W>
struct RowSum {
  static constexpr int kChains = 4;
  Lanes<R, W> chain[kChains] = {};
  Lanes<R, 1> tail = {};

  FNET_FN void add(Lanes<R, W> a, int64_t i) { chain[i / W % kChains] += a; }
  FNET_FN void add(Lanes<R, 1> a, int64_t) { tail += a; }
  FNET_FN R total() const {
    return sum_lanes((chain[0] + chain[1]) + (chain[2] + chain[3])) + sum_lanes(tail);
  }
};

}  // namespace fnet::FNET_ISA
