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
void prime_pass(const PrimeStage<Scalar<V>>& stage, Complex<V>* line, int64_t count, int64_t stride,
                Complex<V>* buffer);

// twiddled_pass, or its transpose, with a convolution in place of the butterfly.
template <bool Transposed, class V>
void gathered_pass(Complex<V>* line, const Stage<Scalar<V>>& stage, Complex<V>* buffer) {
  const Complex<Scalar<V>>* w = stage.twiddles;
  const int32_t* place = stage.prime->place.data();
  for (int64_t j = 0; j < stage.rest; ++j, ++line, w += stage.radix - 1) {
    buffer[place[0]] = line[0];
    for (int q = 1; q < stage.radix; ++q) {
      const Complex<V> z = line[q * stage.stride];
      buffer[place[q]] = Transposed ? z * w[q - 1] : z;
    }
    prime_pass(*stage.prime, buffer, 1, 0, buffer + padded_line(stage.radix));
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
  if (stage.prime) {
    for (int64_t i = 0; i < count; ++i, line += stride, spectrum += stride, x_0 = nullptr) {
      if (is_last) {
        prime_pass(*stage.prime, line, 1, 0, buffer);
        multiply_first(line[0], spectrum[0], x_0);
        for (int q = 1; q < stage.radix; ++q) line[q] = line[q] * spectrum[q];
        prime_pass(*stage.prime, line, 1, 0, buffer);
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

// Outputs k .. k + Rows - 1 and their mirrors, from the sums and differences of mirrored points.
template <int Rows, class V>
FNET_FN void direct_rows(Complex<V>* line, int64_t p, int64_t k, Complex<V> z_0,
                         const Complex<V>* sums, const Complex<Scalar<V>>* roots) {
  const int64_t h = (p - 1) / 2;
  Complex<V> even[Rows], odd[Rows];
  static_for<Rows>([&](auto r) FNET_INLINE_LAMBDA { even[r] = z_0, odd[r] = Complex<V>{}; });
  for (int64_t i = 1; i <= h; ++i) {
    const Complex<V> s = sums[i], d = sums[p - i];
    static_for<Rows>([&](auto r) FNET_INLINE_LAMBDA {
      const Complex<Scalar<V>> root = roots[(k - 1 + r) * h + i - 1];
      even[r] = {even[r].re + s.re * root.re, even[r].im + s.im * root.re};
      odd[r] = {odd[r].re + d.re * root.im, odd[r].im + d.im * root.im};
    });
  }
  static_for<Rows>([&](auto r) FNET_INLINE_LAMBDA {
    line[k + r] = even[r] + mul_minus_i(odd[r]);
    line[p - k - r] = even[r] - mul_minus_i(odd[r]);
  });
}

// The definition: Z_k, Z_{p-k} = z_0 + sum_i cos(2 pi ik/p) s_i  -+  i sum_i sin(2 pi ik/p) d_i.
template <class V>
void direct_pass(const PrimeStage<Scalar<V>>& stage, Complex<V>* line, Complex<V>* sums) {
  const int64_t p = int64_t(stage.place.size());
  const Complex<V> z_0 = line[0];
  for (int64_t i = 1; 2 * i < p; ++i) {
    sums[i] = line[i] + line[p - i];
    sums[p - i] = line[i] - line[p - i];
    line[0] = line[0] + sums[i];
  }
  int64_t k = 1;
  for (; 2 * k + 2 < p; k += 2) direct_rows<2>(line, p, k, z_0, sums, stage.roots.data());
  if (2 * k < p) direct_rows<1>(line, p, k, z_0, sums, stage.roots.data());
}

template <class V>
void bluestein_pass(const PrimeStage<Scalar<V>>& stage, Complex<V>* line, Complex<V>* buffer) {
  const LinePlan<Scalar<V>>& inner = *stage.inner;
  const int64_t p = int64_t(stage.place.size());
  for (int64_t n = 0; n < p; ++n) buffer[inner.entry[n]] = line[n] * stage.chirp[n];
  for (int64_t n = p; n < inner.length; ++n) buffer[inner.entry[n]] = Complex<V>{};
  convolve<V>(inner, 0, buffer, stage.spectrum.data(), 1, 0, nullptr, nullptr);
  for (int64_t k = 0; k < p; ++k) line[k] = buffer[inner.entry[k]] * stage.chirp[k];
}

// Replaces `count` lines of points, `stride` apart, by their DFTs, in the places of the points.
template <class V>
void prime_pass(const PrimeStage<Scalar<V>>& stage, Complex<V>* line, int64_t count, int64_t stride,
                Complex<V>* buffer) {
  for (int64_t i = 0; i < count; ++i, line += stride) {
    switch (stage.algorithm) {
      case Algorithm::kDirect: direct_pass(stage, line, buffer); break;
      case Algorithm::kBluestein: bluestein_pass(stage, line, buffer); break;
      default: convolve(*stage.inner, 0, line + 1, stage.spectrum.data(), 1, 0, line, buffer);
    }
  }
}

// Runs all stages from `first` on for `count` lines that are `stride` apart. A length of 1 has the
// radix 1, which visit() skips.
template <class V>
void run_stages(const LinePlan<Scalar<V>>& plan, int first, Complex<V>* line, int64_t count,
                int64_t stride, Complex<V>* buffer) {
  const Stage<Scalar<V>>& stage = plan.stage[first];
  const bool is_last = first + 1 == plan.stages;
  if (stage.prime) {
    if (is_last) return prime_pass(*stage.prime, line, count, stride, buffer);
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
