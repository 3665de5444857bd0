// Tiles of 2 W columns or rows, and their parts.
//
// Column or row m of a tile shares a complex line with m + W. A part takes V of the W lanes, that
// is V columns from m and V from m + W: the same lines, so the bits do not depend on V.
#pragma once

#include <cstdint>

#include "core/defs.h"

namespace fnet::FNET_ISA {

// The number of parts of V lanes that hold `count` columns or rows; V = W counts the tiles.
template <int W, int V>
FNET_FN constexpr int64_t tile_count(int64_t count) {
  constexpr int64_t kParts = W / V;
  const int64_t full = (count - 1) / (2 * W), rest = count - full * 2 * W;
  return full * kParts + min_of<int64_t>(kParts, (rest + V - 1) / V);
}

// The first column or row of a part.
template <int W, int V>
FNET_FN constexpr int64_t tile_start(int64_t part) {
  constexpr int64_t kParts = W / V;
  return part / kParts * 2 * W + part % kParts * V;
}

}  // namespace fnet::FNET_ISA
