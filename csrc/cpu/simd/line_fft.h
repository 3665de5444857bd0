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

// The transpose of twiddled_pass.
template <int Radix, class V>
void transposed_pass(Complex<V>* line, const Stage<Scalar<V>>& stage) {
  const Complex<Scalar<V>>* w = stage.twiddles;
  for (int64_t j = 0; j < stage.rest; ++j, ++line, w += Radix - 1) {
    Complex<V> z[Radix];
    z[0] = line[0];
    static_for<Radix - 1>(
        [&](auto q) FNET_INLINE_LAMBDA { z[q + 1] = line[(q + 1) * stage.stride] * w[q]; });
    Dft<Radix>::run(z);
    static_for<Radix>([&](auto q) FNET_INLINE_LAMBDA { line[q * stage.stride] = z[q]; });
  }
}

// z <- z * spectrum, point by point, in a convolution. Point 0 of the first line is output 0 of its
// DFT, the sum of all inputs: Rader's x_0, if not null, is added there, so that it reaches every
// y_k, and the sum is added to it.
template <class V>
FNET_FN void multiply_first(Complex<V>& z, Complex<Scalar<V>> spectrum, Complex<V>* x_0) {
  const Complex<V> sum = z;
  z = z * spectrum;
  if (x_0) {
    z = z + *x_0;
    *x_0 = *x_0 + sum;
  }
}

// The last stage of a convolution's transform, the product, and the same stage of the transpose.
template <int Radix, class V>
void product_pass(Complex<V>* line, const Complex<Scalar<V>>* spectrum, int64_t count,
                  int64_t stride, Complex<V>* x_0) {
  for (int64_t i = 0; i < count; ++i, line += stride, spectrum += stride, x_0 = nullptr) {
    Complex<V> z[Radix];
    static_for<Radix>([&](auto q) FNET_INLINE_LAMBDA { z[q] = line[q]; });
    Dft<Radix>::run(z);
    multiply_first(z[0], spectrum[0], x_0);
    static_for<Radix - 1>([&](auto q)
                              FNET_INLINE_LAMBDA { z[q + 1] = z[q + 1] * spectrum[q + 1]; });
    Dft<Radix>::run(z);
    static_for<Radix>([&](auto q) FNET_INLINE_LAMBDA { line[q] = z[q]; });
  }
}

template <class V>
void convolution_pass(const Convolution<Scalar<V>>& convolution, Complex<V>* line, int64_t count,
                      int64_t stride, Complex<V>* buffer);

// twiddled_pass, or its transpose, with a convolution in place of the butterfly.
template <bool Transposed, class V>
void gathered_pass(Complex<V>* line, const Stage<Scalar<V>>& stage, Complex<V>* buffer) {
  const Complex<Scalar<V>>* w = stage.twiddles;
  const int32_t* place = stage.convolution->place.data();
  for (int64_t j = 0; j < stage.rest; ++j, ++line, w += stage.radix - 1) {
    buffer[place[0]] = line[0];
    for (int q = 1; q < stage.radix; ++q) {
      const Complex<V> z = line[q * stage.stride];
      buffer[place[q]] = Transposed ? z * w[q - 1] : z;
    }
    convolution_pass(*stage.convolution, buffer, 1, 0, buffer + padded_line(stage.radix));
    line[0] = buffer[place[0]];
    for (int q = 1; q < stage.radix; ++q) {
      const Complex<V> z = buffer[place[q]];
      line[q * stage.stride] = Transposed ? z : z * w[q - 1];
    }
  }
}

// Convolves `count` lines of one transform, `stride` apart, from stage `first` on: the rest of the
// transform, the product with its spectrum, and the transpose.
template <class V>
void convolve(const LinePlan<Scalar<V>>& plan, int first, Complex<V>* line,
              const Complex<Scalar<V>>* spectrum, int64_t count, int64_t stride, Complex<V>* x_0,
              Complex<V>* buffer) {
  const Stage<Scalar<V>>& stage = plan.stage[first];
  const bool is_last = first + 1 == plan.stages;
  if (stage.convolution) {
    for (int64_t i = 0; i < count; ++i, line += stride, spectrum += stride, x_0 = nullptr) {
      if (is_last) {
        convolution_pass(*stage.convolution, line, 1, 0, buffer);
        multiply_first(line[0], spectrum[0], x_0);
        for (int q = 1; q < stage.radix; ++q) line[q] = line[q] * spectrum[q];
        convolution_pass(*stage.convolution, line, 1, 0, buffer);
      } else {
        gathered_pass<false>(line, stage, buffer);
        convolve(plan, first + 1, line, spectrum, stage.radix, stage.stride, x_0, buffer);
        gathered_pass<true>(line, stage, buffer);
      }
    }
    return;
  }
  Radices::visit(stage.radix, [&](auto radix) FNET_INLINE_LAMBDA {
    constexpr int kRadix = decltype(radix)::value;
    if (is_last) return product_pass<kRadix>(line, spectrum, count, stride, x_0);
    for (int64_t i = 0; i < count; ++i, line += stride, spectrum += stride, x_0 = nullptr) {
      twiddled_pass<kRadix>(line, stage);
      convolve(plan, first + 1, line, spectrum, kRadix, stage.stride, x_0, buffer);
      transposed_pass<kRadix>(line, stage);
    }
  });
}

// Replaces `count` lines of points, `stride` apart, by their DFTs, in the places of the points.
template <class V>
void convolution_pass(const Convolution<Scalar<V>>& convolution, Complex<V>* line, int64_t count,
                      int64_t stride, Complex<V>* buffer) {
  using R = Scalar<V>;
  const LinePlan<R>& inner = *convolution.inner;
  const Complex<R>* spectrum = convolution.spectrum.data();
  const int64_t points = int64_t(convolution.place.size());
  for (int64_t i = 0; i < count; ++i, line += stride) {
    if (convolution.chirp.empty()) {
      convolve(inner, 0, line + 1, spectrum, 1, 0, line, buffer);
      continue;
    }
    const Complex<R>* chirp = convolution.chirp.data();
    for (int64_t n = 0; n < points; ++n) buffer[inner.entry[n]] = line[n] * chirp[n];
    for (int64_t n = points; n < inner.length; ++n) buffer[inner.entry[n]] = Complex<V>{};
    convolve<V>(inner, 0, buffer, spectrum, 1, 0, nullptr, nullptr);
    for (int64_t k = 0; k < points; ++k) line[k] = buffer[inner.entry[k]] * chirp[k];
  }
}

// Runs all stages from `first` on for `count` lines that are `stride` apart. A length of 1 has the
// radix 1, which visit() skips.
template <class V>
void run_stages(const LinePlan<Scalar<V>>& plan, int first, Complex<V>* line, int64_t count,
                int64_t stride, Complex<V>* buffer) {
  const Stage<Scalar<V>>& stage = plan.stage[first];
  const bool is_last = first + 1 == plan.stages;
  if (stage.convolution) {
    if (is_last) return convolution_pass(*stage.convolution, line, count, stride, buffer);
    for (int64_t i = 0; i < count; ++i, line += stride) {
      gathered_pass<false>(line, stage, buffer);
      run_stages(plan, first + 1, line, stage.radix, stage.stride, buffer);
    }
    return;
  }
  Radices::visit(stage.radix, [&](auto radix) FNET_INLINE_LAMBDA {
    constexpr int kRadix = decltype(radix)::value;
    if (is_last) return last_pass<kRadix>(line, count, stride);
    for (int64_t i = 0; i < count; ++i) {
      twiddled_pass<kRadix>(line + i * stride, stage);
      run_stages(plan, first + 1, line + i * stride, kRadix, stage.stride, buffer);
    }
  });
}

// Replaces a line by its DFT. Input n is at plan.entry[n], output k at plan.position[k].
template <class V>
void line_fft(const LinePlan<Scalar<V>>& plan, Complex<V>* line) {
  run_stages(plan, 0, line, 1, 0, line + padded_line(plan.length));
}

}  // namespace fnet::FNET_ISA
