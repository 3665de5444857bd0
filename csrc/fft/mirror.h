// Index algebra of the fold: -n modulo N.
#pragma once

#include "core/defs.h"

namespace fnet {

// The index of -n: 0 -> 0, n -> N - n.
template <class I>
FNET_FN constexpr I mirror(I n, I length) {
  return n == 0 ? 0 : length - n;
}

// The number of indices up to the mirror: data that is equal at n and -n needs N / 2 + 1 of N.
template <class I>
FNET_FN constexpr I half_length(I length) {
  return length / 2 + 1;
}

// The number of complex lines that hold these as pairs of real ones.
template <class I>
FNET_FN constexpr I paired_lines(I length) {
  return (half_length(length) + 1) / 2;
}

}  // namespace fnet
