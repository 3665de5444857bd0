// A block of the kernels along seq, and the FFT of its lines.
#pragma once

#include "cuda/blocks.h"
#include "cuda/line_fft.h"

namespace fnet {

template <class T, int Shape>
struct SeqLine : SeqBlock<T, Shape> {
  using K = SeqBlock<T, Shape>;
  using Fft = LineFft<K::kLine, K::kLines>;
  // The register of element lane + kLanes q.
  static constexpr int slot_of(int q) {
    using First = LineStage<K::kLine, 0>;
    return q % First::kButterflies * First::kRadix + q / First::kButterflies;
  }
  static dim3 grid(int64_t batch, int64_t hidden) {
    return dim3(unsigned(K::tiles(hidden)), 2, unsigned(batch));
  }
};

}  // namespace fnet
