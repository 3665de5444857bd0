// The in-place FFT of one complex line per lane: decimation in frequency, depth first, so that after
// the first stages every sub-line is transformed while it is in L1.
//
// The first stage takes its points from a functor (the fold, or the Hermitian rows of G); output k is
// left at plan.position[k], and whoever reads it looks it up there: nothing is ever reordered in memory.
#pragma once

#include "cpu/lanes.h"
#include "cpu/line_plan.h"
#include "fft/dft.h"

namespace fnet::FNET_ISA {

// Butterflies over `blocks` neighbouring lines of Radix * rest points; point(i) gives the i-th input.
template <int Radix, class V, class Point>
void stage_pass(Complex<V>* line, int64_t rest, int64_t blocks,
                const Complex<Scalar<V>>* twiddles, const Point& point) {
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t start = block * Radix * rest;
    for (int64_t j = 0; j < rest; ++j) {
      Complex<V> z[Radix];
      static_for<Radix>([&](auto q) FNET_INLINE_LAMBDA { z[q] = point(start + j + q * rest); });
      Dft<Radix>::run(z);
      Complex<V>* out = line + start + j;
      out[0] = z[0];
      if (rest == 1) {
        static_for<Radix - 1>([&](auto q) FNET_INLINE_LAMBDA { out[q + 1] = z[q + 1]; });
      } else {
        const Complex<Scalar<V>>* w = twiddles + j * (Radix - 1);
        static_for<Radix - 1>(
            [&](auto q) FNET_INLINE_LAMBDA { out[(q + 1) * rest] = z[q + 1] * w[q]; });
      }
    }
  }
}

template <class V, class Point>
void run_stage(const Stage<Scalar<V>>& stage, Complex<V>* line, int64_t blocks, const Point& point) {
  if (stage.radix == 1) {  // a line of one point
    for (int64_t i = 0; i < blocks; ++i) line[i] = point(i);
    return;
  }
  Radices::visit(stage.radix, [&](auto radix) {
    stage_pass<decltype(radix)::value>(line, stage.rest, blocks, stage.twiddles, point);
  });
}

// Stages from `first` on over one sub-line, in place.
template <class V>
void run_stages(const LinePlan<Scalar<V>>& plan, int first, Complex<V>* line) {
  const Stage<Scalar<V>>& stage = plan.stage[first];
  const auto here = [&](Complex<V>* at) {
    return [at](int64_t i) FNET_INLINE_LAMBDA { return at[i]; };
  };
  run_stage(stage, line, 1, here(line));
  if (first + 1 == plan.stages) return;
  if (first + 2 == plan.stages) {  // all the last stage's lines at once: one dispatch, not radix
    run_stage(plan.stage[first + 1], line, stage.radix, here(line));
    return;
  }
  for (int q = 0; q < stage.radix; ++q) run_stages(plan, first + 1, line + q * stage.rest);
}

// line <- DFT of point(0), ..., point(length - 1), output k at plan.position[k].
template <class V, class Point>
void line_fft(const LinePlan<Scalar<V>>& plan, Complex<V>* line, const Point& point) {
  const Stage<Scalar<V>>& stage = plan.stage[0];
  run_stage(stage, line, 1, point);
  if (plan.stages == 1) return;
  for (int q = 0; q < stage.radix; ++q) run_stages(plan, 1, line + q * stage.rest);
}

}  // namespace fnet::FNET_ISA
