// The blocks of the kernels along hidden, the FFT of their lines, and sums over rows.
#pragma once

#include "cuda/blocks.h"
#include "cuda/line_fft.h"
#include "cuda/swizzle.h"

namespace fnet {

template <int Shape>
struct RowLine : RowBlock<Shape> {
  using Fft = LineFft<RowBlock<Shape>::kLine, 1>;
};

// Sums over the threads of a line. Every thread gets the same result.
template <int Shape>
struct LineSum {
  using K = RowLine<Shape>;
  Shared<float> places;  // of this line
  int line_thread, next = 0;

  FNET_DEVICE float operator()(float v, Site where = Site::current()) {
    for (int mask = (K::kLineThreads < kWarp ? K::kLineThreads : kWarp) / 2; mask > 0; mask /= 2)
      v += shuffle_xor(v, mask, where);
    if constexpr (K::kWarps > 0) {
      const auto place = places + next++ * K::kWarps;
      if (line_thread % kWarp == 0) place.store(line_thread / kWarp, v, where);
      sync_threads(where);
      v = 0;
      for (int w = 0; w < K::kWarps; ++w) v += place.load(w, where);
    }
    return v;
  }
};

}  // namespace fnet
