// What one transform length needs, made once and shared: stages, twiddles, where each output lands.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fft/complex.h"
#include "fft/radices.h"

namespace fnet {

// One decimation-in-frequency stage: it splits lines of radix * rest points into radix lines of rest points.
template <class R>
struct Stage {
  int radix;
  int64_t rest;
  // exp(-2 pi i jq / (radix rest)) at [j (radix - 1) + q - 1], j < rest, 0 < q < radix; null if rest = 1.
  const Complex<R>* twiddles;
};

template <class R>
struct LinePlan {
  int64_t length;
  int stages;
  const Stage<R>* stage;
  const int32_t* position;  // output k of the in-place transform lies at position[k]
};

// The plan for a length of factorise(); kept for later calls, safe from any thread.
template <class R>
std::shared_ptr<const LinePlan<R>> line_plan(int64_t length);

extern template std::shared_ptr<const LinePlan<float>> line_plan(int64_t);
extern template std::shared_ptr<const LinePlan<double>> line_plan(int64_t);

}  // namespace fnet
