// The in-place FFT of one complex line per lane: decimation in frequency, depth first, so that
// after the first stages each sub-line stays in L1 while it is transformed.
//
// Output k stays at plan.position[k]. Readers look it up, so nothing is reordered in memory.
#pragma once

#include "cpu/line_plan.h"
#include "cpu/simd/lanes.h"
#include "fft/dft.h"

namespace fnet::FNET_ISA {

// The butterflies of one line of Radix * stage.rest points.
template <int Radix, class V>
void twiddled_pass(Complex<V>* line, const Stage<Scalar<V>>& stage) {
  const Complex<Scalar<V>>* w = stage.twiddles;
  for (int64_t j = 0; j < stage.rest; ++j, ++line, w += Radix - 1) {
    Complex<V> z[Radix];
    static_for<Radix>([&](auto q) FNET_INLINE_LAMBDA { z[q] = line[q * stage.stride]; });
    Dft<Radix>::run(z);
    line[0] = z[0];
    static_for<Radix - 1>(
        [&](auto q) FNET_INLINE_LAMBDA { line[(q + 1) * stage.stride] = z[q + 1] * w[q]; });
  }
}

// The last stage, without twiddles: `count` neighbouring lines of Radix points, `stride` apart.
template <int Radix, class V>
void last_pass(Complex<V>* line, int64_t count, int64_t stride) {
  for (int64_t i = 0; i < count; ++i, line += stride) {
    Complex<V> z[Radix];
    static_for<Radix>([&](auto q) FNET_INLINE_LAMBDA { z[q] = line[q]; });
    Dft<Radix>::run(z);
    static_for<Radix>([&](auto q) FNET_INLINE_LAMBDA { line[q] = z[q]; });
  }
}

// Runs all stages from `first` on for `count` lines that are `stride` apart. A length of 1 has the
// radix 1, which visit() skips.
template <class V>
void run_stages(const LinePlan<Scalar<V>>& plan, int first, Complex<V>* line, int64_t count,
                int64_t stride) {
  const Stage<Scalar<V>>& stage = plan.stage[first];
  Radices::visit(stage.radix, [&](auto radix) FNET_INLINE_LAMBDA {
    constexpr int kRadix = decltype(radix)::value;
    if (first + 1 == plan.stages) return last_pass<kRadix>(line, count, stride);
    for (int64_t i = 0; i < count; ++i) {
      twiddled_pass<kRadix>(line + i * stride, stage);
      run_stages(plan, first + 1, line + i * stride, kRadix, stage.stride);
    }
  });
}

// Replaces a line by its DFT. Input n is at plan.entry[n], output k at plan.position[k].
template <class V>
void line_fft(const LinePlan<Scalar<V>>& plan, Complex<V>* line) {
  run_stages(plan, 0, line, 1, 0);
}

}  // namespace fnet::FNET_ISA
