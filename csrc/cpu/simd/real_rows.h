// Sequences of one row, one per lane. A single row would leave half of a complex line empty, so its
// even and odd numbers share a line of half the length (see real_line.h).
#pragma once

#include "cpu/real_line.h"
#include "cpu/simd/sequence_lanes.h"

namespace fnet::FNET_ISA {

// Transforms the rows times weight.
template <int W, class R>
void transform_real_rows(const SequenceLanes<W, R>& s, const RealLinePlan<R>& plan, R weight) {
  const int32_t* entry = plan.half->entry;
  for (int64_t m = 0; m < plan.half->length; ++m)
    s.line[entry[m]] = {s.rows[2 * m] * weight, s.rows[2 * m + 1] * weight};
  line_fft(*plan.half, s.line);
}

// The mix of `count` sequences; see mix_sequences.
template <int W, class T>
void mix_real_rows(const SequenceLanes<W, Compute<T>>& s, const RealLinePlan<Compute<T>>& plan,
                   const InputRows<T>& in, const RowOutput<T>& out, int64_t x_pitch,
                   int64_t residual_pitch, int64_t count, Compute<T> scale) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  const R quarter = scale / 4;
  load_sequences<W>(s, in.x, in.stride, x_pitch, count, in.rows, in.zeros);
  read_sequences<W>(s, in, count, quarter);
  transform_real_rows(s, plan, 2 * (in.mean ? R(1) : quarter));
  load_residual(s, in, out, residual_pitch, count);
  const int64_t h = plan.half->length;
  const int32_t* position = plan.half->position;
  const auto real_part = [&](int64_t l) FNET_INLINE_LAMBDA {
    const int64_t q = l < h ? l : l - h;
    const Complex<V> z = s.line[position[q]], mirrored = s.line[position[h - q]];
    const V turned = (odd(z, mirrored) * plan.twiddles[q]).re;
    return even(z, mirrored).re + (l < h ? turned : -turned);
  };
  finish_lanes<W>(out, s.rows, out.rstd, 1, count, real_part);
  store_finished<W>(out, s.rows, 0, s.hidden, count, out.rows * s.hidden);
}

}  // namespace fnet::FNET_ISA
