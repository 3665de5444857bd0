// How a length is transformed: a stage for each radix, then a stage for each factor that is none.
#pragma once

#include <cstdint>

#include "cpu/radices.h"

namespace fnet {

// A stage transforms `points` numbers: by a butterfly, or as a cyclic convolution.
struct StageShape {
  int64_t points = 0;
  // The length of the convolution. 0: a butterfly. points - 1: Rader's algorithm, for a prime.
  // At least 2 points - 1, a product of radices: Bluestein's algorithm.
  int64_t convolution = 0;

  bool is_bluestein() const { return convolution > points; }
};

struct LineShape {
  int count = 0;  // of stages; 0: no way found
  StageShape stage[kMaxStages];
  int64_t cost = 0;    // picoseconds per point
  int64_t buffer = 0;  // elements beyond the line that its convolutions need

  void add(StageShape added) { stage[count++] = added; }
};

// The largest factor without radices that the kernels transform.
inline constexpr int64_t kMaxConvolved = 1 << 16;

// Whether the kernels transform a length: its factor without radices is at most kMaxConvolved.
bool has_line(int64_t length);

// The cheapest way to transform a length that has_line(). Thread-safe; results are kept.
LineShape line_shape(int64_t length);

// The way to transform the convolution of Rader's algorithm: by radices and Rader again.
LineShape rader_shape(int64_t length);

// The sub-lines of the first stage are padded by one element: at power-of-two distances all its
// butterflies would hit one cache set. The padding is never read.
constexpr int64_t padded_line(int64_t length) { return length + kMaxRadix; }

// The elements of a line with its padding and buffer.
int64_t line_extent(int64_t length);

}  // namespace fnet
