// The transforms M. Each is a part of the spectrum FFT2(x), real and linear in x.
#pragma once

#include <cstdint>

#include "fft/complex.h"

namespace fnet {

enum class Transform : int32_t {
  kFourier,  // M(x) = Re(FFT2(x))
  kHartley,  // M(x) = Re(FFT2(x)) - Im(FFT2(x)); it always takes the general path
};

// Maps one element of the spectrum to M's real value. kEven: it reads the real part alone, so that
// M(x)[-k, -l] = M(x)[k, l], and row -k is the mirror of row k.
struct FourierPart {
  static constexpr bool kEven = true;

  template <class R>
  FNET_FN R operator()(Complex<R> z) const {
    return z.re;
  }
};
struct HartleyPart {
  static constexpr bool kEven = false;

  template <class R>
  FNET_FN R operator()(Complex<R> z) const {
    return z.re - z.im;
  }
};

// Calls body(part) with the part of the transform.
template <class F>
decltype(auto) visit_part(Transform transform, const F& body) {
  return transform == Transform::kHartley ? body(HartleyPart{}) : body(FourierPart{});
}

}  // namespace fnet
