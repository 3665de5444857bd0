// The layout of rows of floats in shared memory.
#pragma once

#include "core/defs.h"

namespace fnet {

// The position of element l of a row in shared memory, through which the kernels reorder rows from
// transform order to memory order. Neither threads that access adjacent elements nor threads that
// access 16 bytes each have bank conflicts.
FNET_FN constexpr int swizzled(int l) { return l ^ l / 32 % 8 * 4; }

// The room of a row of any length.
FNET_FN constexpr int padded_row(int length) { return (length + 31) / 32 * 32; }

// swizzled(l + C) from swizzled(l), for l < Range, a power of two, and a C that has no bits in
// common with l. The result is the exclusive or of both, which is an addition except in the lowest
// bits.
template <int Range, int C>
FNET_FN constexpr int swizzled_on(int at) {
  static_assert((Range & (Range - 1)) == 0);
  constexpr int kUnit = Range < 32 ? 32 : Range;
  return (at ^ swizzled(C) % kUnit) + C / kUnit * kUnit;
}

}  // namespace fnet
