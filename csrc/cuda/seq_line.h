// A block of the kernels along seq: `kLines` neighbouring pairs of columns, each a line of kLength
// complex numbers.
#pragma once

#include "cuda/line_fft.h"

namespace fnet {

template <int Shape>
struct SeqLine {
  static constexpr SeqShape kShape = kSeqShapes[Shape];
  static constexpr LineShape kLine = kShape.line;
  static constexpr int kLength = kLine.length, kLines = kShape.lines;
  static constexpr int kThreads = kLines * kLine.threads();
  static constexpr int kSharedBytes = tile_size<kLine, kLines>() * int(sizeof(Complex<float>));
  using Fft = LineFft<kLine, kLines>;
  // The register of element lane + kLanes q.
  static constexpr int slot_of(int q) {
    using First = LineStage<kLine, 0>;
    return q % First::kButterflies * First::kRadix + q / First::kButterflies;
  }
  static_assert(kThreads % kWarp == 0 && kWarp % kLines == 0);
};

}  // namespace fnet
