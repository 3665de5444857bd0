// Twiddle factors of one stage. The compiler computes them and stores them in the kernel's module,
// so nothing is computed or copied at run time.
#pragma once

#include "cuda/device.h"
#include "fft/roots.h"

namespace fnet {

// w^(c p), w = exp(-2 pi i / (Radix Columns)), is at [(p - 1) Columns + c] for p = 1..Radix-1 and
// c < Columns, so that threads of consecutive c read adjacent entries.
template <int Radix, int Columns>
struct alignas(128) TwiddleTable {
  static constexpr int kLength = Radix * Columns, kSize = (Radix - 1) * Columns;
  Complex<float> at[kSize];

  // Each root is the product, in double, of a coarse root and a fine root, rounded to float once.
  // So the compiler evaluates about 2 sqrt(kLength) sines instead of kLength.
  constexpr TwiddleTable() : at() {
    constexpr int kFine = kLength < 64 ? kLength : 64, kCoarse = (kLength + kFine - 1) / kFine;
    double fine_re[kFine] = {}, fine_im[kFine] = {};
    double coarse_re[kCoarse] = {}, coarse_im[kCoarse] = {};
    for (int i = 0; i < kFine; ++i) {
      fine_re[i] = cos_turn(i, kLength);
      fine_im[i] = -sin_turn(i, kLength);
    }
    for (int i = 0; i < kCoarse; ++i) {
      coarse_re[i] = cos_turn(i * kFine, kLength);
      coarse_im[i] = -sin_turn(i * kFine, kLength);
    }
    for (int p = 1; p < Radix; ++p)
      for (int c = 0; c < Columns; ++c) {
        const int i = c * p, f = i % kFine, q = i / kFine;
        at[(p - 1) * Columns + c] = {float(coarse_re[q] * fine_re[f] - coarse_im[q] * fine_im[f]),
                                     float(coarse_re[q] * fine_im[f] + coarse_im[q] * fine_re[f])};
      }
  }
};

template <int Radix, int Columns>
FNET_TABLE constexpr TwiddleTable<Radix, Columns> kTwiddles{};

// w^((c + more) p) for p > 0, at constant distances from one address.
template <int Radix, int Columns>
class Twiddles {
 public:
  explicit FNET_DEVICE Twiddles(int c) : at_(kTwiddles<Radix, Columns>.at + c) {}
  FNET_DEVICE Complex<float> operator()(int p, int more = 0, Site where = Site::current()) const {
    return load_table(kTwiddles<Radix, Columns>, at_ + (p - 1) * Columns + more, where);
  }

 private:
  const Complex<float>* at_;
};

}  // namespace fnet
