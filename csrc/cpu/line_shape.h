// How a length is transformed: stages of radices, then one convolution for a factor that the
// radices do not divide.
#pragma once

#include <cstdint>

#include "cpu/radices.h"

namespace fnet {

// The DFT of `points` numbers as a cyclic convolution of `length` numbers. 0 points: none.
//   Rader: points is prime, and length is points - 1.
//   Bluestein: any points, and length is at least 2 points - 1, a product of radices.
struct ConvolutionShape {
  int64_t points = 0, length = 0;

  bool is_rader() const { return length < points; }
};

struct LineShape {
  Factors factors;  // the stages before the convolution, if any
  ConvolutionShape convolution;
  int64_t cost = 0;  // picoseconds per point
};

// The largest factor without radices that the kernels transform.
inline constexpr int64_t kMaxConvolved = 1 << 16;

// Whether the kernels transform a length: its factor without radices is at most kMaxConvolved.
bool has_line(int64_t length);

// The cheapest way to transform a length that has_line(). Thread-safe; results are kept.
LineShape line_shape(int64_t length);

// The way to transform the convolution of Rader's algorithm: without another buffer.
LineShape rader_inner_shape(int64_t length);

// The sub-lines of the first stage are padded by one element: at power-of-two distances all its
// butterflies would hit one cache set. The padding is never read.
constexpr int64_t padded_line(int64_t length) { return length + kMaxRadix; }

// The elements of a line: points, padding, and a buffer for Bluestein's convolution after them.
int64_t line_extent(int64_t length);

}  // namespace fnet
