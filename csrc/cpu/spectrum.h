// The layout of G, which the seq pass writes and the row pass reads.
//
// G[k, m] has k = 0..N/2, m = 0..d/2. Bands group W rows, the lanes of the row pass, in the order
// [band][m][re, im][W]. The seq pass writes runs of 2 W W numbers, and the row pass reads a band
// sequentially. Rows after N/2 in the last band hold copies of the last row.
//
// Rows 0 and N/2 of an even N are real. Where row N/2 would begin a tile of its own, it takes the
// place of the imaginary parts of row 0, as is usual in transforms of real numbers.
#pragma once

#include <cstdint>

#include "core/defs.h"
#include "fft/mirror.h"

namespace fnet {

struct SpectrumLayout {
  int64_t seq, hidden, width;

  FNET_FN int64_t rows() const { return half_length(seq); }
  FNET_FN int64_t columns() const { return half_length(hidden); }
  // Whether row N/2 is in the imaginary parts of row 0.
  FNET_FN bool packs_last_row() const { return seq > 0 && seq % (4 * width) == 0; }
  FNET_FN int64_t bands() const {
    return (packs_last_row() ? seq / 2 : rows() + width - 1) / width;
  }
  FNET_FN int64_t band_size() const { return columns() * 2 * width; }
  FNET_FN int64_t size() const { return bands() * band_size(); }
  // The real parts of rows band * W .. band * W + W - 1 at column m; the imaginary parts follow.
  FNET_FN int64_t at(int64_t band, int64_t m) const { return (band * columns() + m) * 2 * width; }
};

}  // namespace fnet
