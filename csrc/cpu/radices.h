// Which radices the kernels have, and how a length is split into them.
#pragma once

#include <initializer_list>

#include "core/defs.h"

namespace fnet {

// A list of compile-time integers, and the one fold over it that dispatches.
template <int... V>
struct IntList {
  // Calls body(integral_constant) for the listed value equal to v; false when there is none.
  template <class F>
  static FNET_FN bool visit(int v, const F& body) {
    return ((v == V ? (body(std::integral_constant<int, V>{}), true) : false) || ...);
  }
};

// THE list. Adding a radix here (and its cost below) is all that a new one takes.
using Radices = IntList<2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16>;

// Time of one stage, in picoseconds per point of an AVX2 line in L1 (the order of the figures is
// the same with SSE2 and AVX-512); 0: not a radix.
constexpr int stage_cost(int radix) {
  switch (radix) {
    case 2: return 800;
    case 3: return 840;
    case 4: return 780;
    case 5: return 1150;
    case 6: return 1080;
    case 7: return 1800;
    case 8: return 1120;
    case 9: return 1480;
    case 11: return 2730;
    case 12: return 1420;
    case 13: return 3260;
    case 16: return 1530;
    default: return 0;
  }
}

inline constexpr int kMaxRadix = 16;
// Places in a line are 32-bit numbers. Longer lengths, of which nobody has a tensor's worth of
// memory for one row and its transform, take the general path.
inline constexpr long long kMaxLength = 1ll << 30;
inline constexpr int kMaxStages = 30;

struct Factors {
  int count = 0;               // 0: a prime factor above 13, or not in 1..kMaxLength
  int radix[kMaxStages] = {};  // in the order of the stages
  int cost = 0;
};

// Whether factorise(n) finds a split: n in 1..kMaxLength without a prime factor above 13.
FNET_FN constexpr bool has_factors(long long n) {
  if (n < 1 || n > kMaxLength) return false;
  for (int p : {2, 3, 5, 7, 11, 13})
    while (n % p == 0) n /= p;
  return n == 1;
}

// The cheapest split of n into radices, smaller ones first: the last stage has no twiddles, so it
// is the largest. n = 1 is one stage of radix 1.
constexpr Factors factorise(long long n, int largest = kMaxRadix) {
  Factors best;
  if (n < 1 || n > kMaxLength) return best;
  if (n == 1) {
    best.count = 1;
    best.radix[0] = 1;
    return best;
  }
  for (int r = largest; r >= 2; --r) {
    if (stage_cost(r) == 0 || n % r != 0) continue;
    Factors rest;
    if (n != r) {
      rest = factorise(n / r, r);
      if (rest.count == 0) continue;  // no radix of up to r is left for what remains
    }
    const int cost = stage_cost(r) + rest.cost;
    if (best.count != 0 && best.cost <= cost) continue;
    for (int i = 0; i < rest.count; ++i) best.radix[i] = rest.radix[i];
    best.radix[rest.count] = r;
    best.count = rest.count + 1;
    best.cost = cost;
  }
  return best;
}

}  // namespace fnet
