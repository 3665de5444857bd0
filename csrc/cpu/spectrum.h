// The layout of G, which the seq pass writes and the row pass reads.
//
// G[k, m] has k = 0..N/2, m = 0..d/2. Bands group W rows, the lanes of the row pass, in the order
// [band][m][re, im][W]. The seq pass writes runs of 2 W W numbers, and the row pass reads a band
// sequentially. Rows after N/2 in the last band hold arbitrary finite numbers.
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
