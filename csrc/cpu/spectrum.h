// The layout of G, which the pass along seq writes and the pass along hidden reads.
//
// G[k, m] for k = 0..N/2, m = 0..d/2. Rows are grouped in bands of W, the lanes of the row pass:
// [band][m][re, im][W], so that the seq pass writes runs of 2 W W numbers and the row pass reads a
// band from end to end. Rows past N/2 in the last band hold any finite numbers.
#pragma once

#include <cstdint>

#include "core/defs.h"
#include "fft/mirror.h"

namespace fnet {

struct SpectrumLayout {
  int64_t seq, hidden, width;

  FNET_FN int64_t rows() const { return half_length(seq); }
  FNET_FN int64_t columns() const { return half_length(hidden); }
  FNET_FN int64_t bands() const { return (rows() + width - 1) / width; }
  FNET_FN int64_t band_size() const { return columns() * 2 * width; }
  FNET_FN int64_t size() const { return bands() * band_size(); }
  // The real parts of rows band * W .. band * W + W - 1 at column m; the imaginary parts follow.
  FNET_FN int64_t at(int64_t band, int64_t m) const { return (band * columns() + m) * 2 * width; }
};

}  // namespace fnet
