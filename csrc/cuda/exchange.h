// The stages of a line's FFT and the layout of the exchanges between them, as constants for the
// kernels and for the host. line_fft.h defines the letters.
#pragma once

#include "cuda/lengths.h"

namespace fnet {

template <LineShape S, int I>
struct LineStage {
  static constexpr int product(int begin, int end) {
    int p = 1;
    for (int i = begin; i < end; ++i) p *= S.radix[i];
    return p;
  }
  static constexpr int kRadix = S.radix[I];
  static constexpr int kColumns = product(I + 1, S.stages());  // C
  static constexpr int kPrefixes = product(0, I);              // D
  static constexpr int kButterflies = S.points / kRadix;       // per thread
  static constexpr bool kLast = I + 1 == S.stages();
  static_assert(S.points % kRadix == 0 && product(0, S.stages()) == S.length);
};

inline constexpr int kTileSkew = 8;

// The layout of an exchange. Slot a' of butterfly j' of the next stage is at a' Pitch + j', so that
// threads read adjacent elements. A tile interleaves `Width` lines. The padding minimises the bank
// conflicts of the writes.
template <LineShape S, int I, int Width>
struct Exchange {
  using From = LineStage<S, I>;
  using To = LineStage<S, I + 1>;
  static constexpr int kNext = S.length / To::kRadix;

  static constexpr int position(int pitch, int c, int prefix, int p) {
    return c / To::kColumns * pitch + c % To::kColumns +
           To::kColumns * (prefix + From::kPrefixes * p);
  }

  // Wavefronts of the writes of four half-warps: 16 lanes of 8 bytes over 16 pairs of banks.
  static constexpr int cost(int pad) {
    const int pitch = kNext + pad, line_threads = S.threads();
    int total = 0;
    for (int half = 0; half < 4; ++half)
      for (int p = 0; p < 2; ++p) {
        int used[16] = {}, worst = 0;
        for (int thread = 16 * half; thread < 16 * half + 16; ++thread) {
          const int line_thread = thread / Width % line_threads,
                    tile = thread / Width / line_threads;
          const int at =
              position(pitch, line_thread % From::kColumns, line_thread / From::kColumns, p);
          const int bank = (at * Width + thread % Width + kTileSkew * tile) % 16;
          worst = ++used[bank] > worst ? used[bank] : worst;
        }
        total += worst;
      }
    return total;
  }
  static constexpr int best_pitch() {
    int best = 0;
    for (int pad = 1; pad < 16; ++pad)
      if (cost(pad) < cost(best)) best = pad;
    return kNext + best;
  }
  static constexpr int kPitch = best_pitch();
  static constexpr int kSize = kPitch * To::kRadix;  // per line
};

// The number of complex numbers of a tile, which holds its largest exchange. Tiles of fewer than 16
// threads are skewed against each other by half of the banks.
template <LineShape S, int Width, int I = 0>
constexpr int largest_exchange() {
  if constexpr (I + 1 >= S.stages()) {
    return S.length * Width;
  } else {
    const int size = Exchange<S, I, Width>::kSize * Width;
    const int rest = largest_exchange<S, Width, I + 1>();
    return size > rest ? size : rest;
  }
}
template <LineShape S, int Width>
constexpr int tile_size() {
  return (largest_exchange<S, Width>() + 15) / 16 * 16 + (S.threads() < 16 ? kTileSkew : 0);
}

}  // namespace fnet
