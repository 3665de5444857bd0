// Roots of unity at run time, computed in more precision from an angle of at most pi / 4, rounded
// once.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "fft/complex.h"

namespace fnet {

// The precision in which tables of R are computed.
template <class R>
using Wide = std::conditional_t<std::is_same_v<R, float>, double, long double>;

// exp(-2 pi i p / q), 0 <= p < q, in W itself.
template <class W>
Complex<W> wide_root(int64_t p, int64_t q) {
  // The angle is octant / 8 + rest / (8 q) of a circle; odd octants count down from the next one.
  const int64_t octant = 8 * p / q;
  const int64_t rest = octant % 2 == 0 ? 8 * p - octant * q : (octant + 1) * q - 8 * p;
  const W angle = W(0.785398163397448309615660845819875721L) * W(rest) / W(q);
  const W c = std::cos(angle), s = std::sin(angle);
  switch (octant) {
    case 0: return {c, -s};
    case 1: return {s, -c};
    case 2: return {-s, -c};
    case 3: return {-c, -s};
    case 4: return {-c, s};
    case 5: return {-s, c};
    case 6: return {s, c};
    default: return {c, s};
  }
}

template <class R, class W>
Complex<R> rounded(Complex<W> z) {
  return {R(z.re), R(z.im)};
}

// exp(-2 pi i p / q), 0 <= p < q.
template <class R>
Complex<R> unit_root(int64_t p, int64_t q) {
  return rounded<R>(wide_root<Wide<R>>(p, q));
}

}  // namespace fnet
