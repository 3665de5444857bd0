// How a length is transformed: a stage for each radix, then a stage for each factor that is none.
#pragma once

#include <cstdint>

#include "cpu/radices.h"

namespace fnet {

// How a stage transforms its points.
enum class Algorithm {
  kButterfly,  // a radix
  kDirect,     // an odd number of points, by its definition
  kRader,      // a prime, as a cyclic convolution of points - 1 numbers
  kBluestein,  // any number, as a cyclic convolution of at least 2 points - 1 numbers
};

struct StageShape {
  int64_t points = 0;
  Algorithm algorithm = Algorithm::kButterfly;
  int64_t convolution = 0;  // its length
};

struct LineShape {
  int count = 0;  // of stages; 0: no way found
  StageShape stage[kMaxStages];
  int64_t cost = 0;    // picoseconds per point
  int64_t buffer = 0;  // elements beyond the line that its convolutions need

  void add(StageShape added) { stage[count++] = added; }
};

// The largest factor without radices of a line that one lane transforms.
inline constexpr int64_t kMaxConvolved = 1 << 16;

// Whether a lane transforms lines of a length.
bool has_line(int64_t length);

// The cheapest way to transform a length that has_line(). Thread-safe; the last results are kept.
LineShape line_shape(int64_t length);

// The way to transform the convolution of Rader's algorithm: the cheapest without Bluestein's.
LineShape rader_shape(int64_t length);

// The sub-lines of the first stage are padded by one element: at power-of-two distances all its
// butterflies would hit one cache set. The padding is never read. There are at most length / 2
// sub-lines.
constexpr int64_t padded_line(int64_t length) {
  return length + min_of<int64_t>(length / 2, kMaxRadix);
}

// The elements of a line with its padding and buffer.
constexpr int64_t line_extent(int64_t length, const LineShape& shape) {
  return padded_line(length) + shape.buffer;
}
int64_t line_extent(int64_t length);

}  // namespace fnet
