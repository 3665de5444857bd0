// Roots of unity at run time, computed in long double from an angle of at most pi / 4, rounded
// once.
#pragma once

#include <cmath>
#include <cstdint>

#include "fft/complex.h"

namespace fnet {

// exp(-2 pi i p / q), 0 <= p < q.
template <class R>
Complex<R> unit_root(int64_t p, int64_t q) {
  // The angle is octant / 8 + rest / (8 q) of a circle; odd octants count down from the next one.
  const int64_t octant = 8 * p / q;
  const int64_t rest = octant % 2 == 0 ? 8 * p - octant * q : (octant + 1) * q - 8 * p;
  const long double angle = 0.785398163397448309615660845819875721L * rest / q;
  const long double c = std::cos(angle), s = std::sin(angle);
  switch (octant) {
    case 0: return {R(c), R(-s)};
    case 1: return {R(s), R(-c)};
    case 2: return {R(-s), R(-c)};
    case 3: return {R(-c), R(-s)};
    case 4: return {R(-c), R(s)};
    case 5: return {R(-s), R(c)};
    case 6: return {R(s), R(c)};
    default: return {R(c), R(s)};
  }
}

}  // namespace fnet
