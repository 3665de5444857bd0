// The tables of one transform length, made once and shared: stages, twiddles, output positions.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/radices.h"
#include "fft/complex.h"

namespace fnet {

// One decimation-in-frequency stage: it splits lines of radix * rest points into radix lines of
// rest points, which start `stride` apart in memory.
template <class R>
struct Stage {
  int radix;
  int64_t rest, stride;
  // exp(-2 pi i jq / (radix rest)) at [j (radix - 1) + q - 1], j < rest, 0 < q < radix; null if
  // rest = 1.
  const Complex<R>* twiddles;
};

template <class R>
struct LinePlan {
  int64_t length;
  int stages;
  const Stage<R>* stage;
  const int32_t* entry;     // point n goes in at entry[n]
  const int32_t* position;  // output k, up to k = length, the same as 0, comes out at position[k]
};

// The first stage's lines are one place further apart than they are long: at a distance of a power
// of two, its butterflies would all hit one cache set. Gaps are never read.
constexpr int64_t line_extent(int64_t length) { return length + kMaxRadix; }

// The plan for a length of factorise(); kept for later calls, safe from any thread.
template <class R>
std::shared_ptr<const LinePlan<R>> line_plan(int64_t length);

extern template std::shared_ptr<const LinePlan<float>> line_plan(int64_t);
extern template std::shared_ptr<const LinePlan<double>> line_plan(int64_t);

}  // namespace fnet
