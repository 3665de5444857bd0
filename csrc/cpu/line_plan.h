// The tables of one transform length, built once and shared: stages, twiddles, positions.
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
  const int32_t* entry;     // input n is at entry[n]
  const int32_t* position;  // output k is at position[k], k = 0..length; output `length` is 0
};

// The sub-lines of the first stage are padded by one element: at power-of-two distances all its
// butterflies would hit one cache set. The padding is never read.
constexpr int64_t line_extent(int64_t length) { return length + kMaxRadix; }

// The plan for a length that factorise() splits. Thread-safe; plans are kept for later calls.
template <class R>
std::shared_ptr<const LinePlan<R>> line_plan(int64_t length);

extern template std::shared_ptr<const LinePlan<float>> line_plan(int64_t);
extern template std::shared_ptr<const LinePlan<double>> line_plan(int64_t);

}  // namespace fnet
