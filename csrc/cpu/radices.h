// The radices of the CPU kernels, and how a length is split into them.
#pragma once

#include "core/defs.h"

namespace fnet {

// A list of compile-time integers, with dispatch by value.
template <int... V>
struct IntList {
  static constexpr int kMax = [] {
    int max = 0;
    ((max = V > max ? V : max), ...);
    return max;
  }();

  // body(integral_constant) for every value of the list.
  template <class F>
  static FNET_FN constexpr void each(const F& body) {
    (body(std::integral_constant<int, V>{}), ...);
  }
  // Calls body(integral_constant) for the value equal to v; returns false if the list lacks it.
  template <class F>
  static FNET_FN constexpr bool visit(int v, const F& body) {
    return ((v == V ? (body(std::integral_constant<int, V>{}), true) : false) || ...);
  }
};

// The list of radices. To add one, add its value here and its cost below.
using Radices = IntList<2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16>;

// Time of one stage in picoseconds per point, measured for an AVX2 line in L1 (SSE2 and AVX-512
// rank the radices in the same order). 0 if the value is not a radix.
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

inline constexpr int kMaxRadix = Radices::kMax;
static_assert(
    [] {
      for (int r = 0; r <= kMaxRadix; ++r)
        if (Radices::visit(r, [](auto) {}) != (stage_cost(r) > 0)) return false;
      return true;
    }(),
    "every radix, and no other number, must have a cost");

// The longest line. A longer one would need too much memory for tables and scratch.
inline constexpr long long kMaxLength = 1ll << 22;
inline constexpr int kMaxStages = 30;

struct Factors {
  int count = 0;               // 0: a prime factor is not a radix, or n is not in 1..kMaxLength
  int radix[kMaxStages] = {};  // in the order of the stages
  int cost = 0;
};

constexpr bool is_prime(int n) {
  for (int p = 2; p * p <= n; ++p)
    if (n % p == 0) return false;
  return n > 1;
}

// Whether factorise(n) finds a split: n in 1..kMaxLength whose prime factors are all radices.
FNET_FN constexpr bool has_factors(long long n) {
  if (n < 1 || n > kMaxLength) return false;
  Radices::each([&](auto p) FNET_INLINE_LAMBDA {
    if constexpr (is_prime(p))
      while (n % p == 0) n /= p;
  });
  return n == 1;
}

// The cheapest split of n into radices, in ascending order: the last stage has no twiddles, so it
// has the largest radix. n = 1 is one stage of radix 1.
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
      if (rest.count == 0) continue;  // radices of at most r do not factor n / r
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

// has_factors(n) agrees with factorise(n), also for radices that are added later.
static_assert([] {
  for (int n = 0; n <= 2 * kMaxRadix; ++n)
    if (has_factors(n) != (factorise(n).count > 0)) return false;
  return true;
}());

}  // namespace fnet
