// The FFT of a line in the registers of several threads: butterflies in registers, and an exchange
// through shared memory between two stages.
//
// Decimation in frequency. Before stage i the line holds D sub-transforms of length M = R C, where
// R is the radix of the stage and D the product of the radices before it. Butterfly (c, prefix)
// takes elements c + C a, a = 0..R-1, of sub-transform `prefix` and computes element c of the
// sub-transforms prefix + D p, p = 0..R-1, times w_M^{c p}. After the last stage sub-transforms
// have length 1, and their numbers are frequencies.
//
// Thread t of L owns butterflies j = c + C prefix = t, t + L, ...; its element (butterfly i, slot
// a) is register i R + a.
#pragma once

#include "cuda/exchange.h"
#include "cuda/twiddle_table.h"
#include "fft/dft.h"

namespace fnet {

// One thread's part of the FFT of its line.
template <LineShape S, int Width>
struct LineFft {
  static constexpr int kPoints = S.points, kLineThreads = S.threads();
  // If a line has at most one warp, a barrier of the warp suffices.
  static constexpr bool kInWarp = Width == 1 && kLineThreads <= kWarp;

  using Point = Complex<float>;
  Shared<Point> tile;     // of this thread's lines
  int line_thread, line;  // the thread within its line, the line within the tile

  static FNET_DEVICE void sync(Site where = Site::current()) {
    if constexpr (kInWarp)
      sync_warp(where);
    else
      sync_threads(where);
  }

  // One butterfly and its twiddles, in place.
  template <int I>
  static FNET_DEVICE void butterfly(Point (&z)[S.radix[I]], int c) {
    using Stage = LineStage<S, I>;
    Dft<Stage::kRadix>::run(z);
    if constexpr (!Stage::kLast) {
      const Twiddles<Stage::kRadix, Stage::kColumns> w(c);
      static_for<Stage::kRadix - 1>([&](auto p) { z[p + 1] = z[p + 1] * w(p + 1); });
    }
  }

  template <int I>
  FNET_DEVICE void stage(Point (&z)[kPoints]) const {
    using Stage = LineStage<S, I>;
    static_for<Stage::kButterflies>([&](auto i) {
      Point y[Stage::kRadix];
      static_for<Stage::kRadix>([&](auto a) { y[a] = z[i * Stage::kRadix + a]; });
      butterfly<I>(y, (line_thread + kLineThreads * i) % Stage::kColumns);
      static_for<Stage::kRadix>([&](auto a) { z[i * Stage::kRadix + a] = y[a]; });
    });
  }

  // Stores the outputs of butterfly (c, prefix) of stage I where stage I + 1 reads them.
  template <int I>
  FNET_DEVICE void put(const Point* y, int c, int prefix, Site where = Site::current()) const {
    using X = Exchange<S, I, Width>;
    static_for<S.radix[I]>([&](auto p) {
      tile.store(X::position(X::kPitch, c, prefix, p) * Width + line, y[p], where);
    });
  }
  template <int I>
  FNET_DEVICE void put_all(const Point (&z)[kPoints]) const {
    using Stage = LineStage<S, I>;
    static_for<Stage::kButterflies>([&](auto i) {
      const int j = line_thread + kLineThreads * i;
      put<I>(z + i * Stage::kRadix, j % Stage::kColumns, j / Stage::kColumns);
    });
  }
  // Loads the inputs of stage I.
  template <int I>
  FNET_DEVICE void take_all(Point (&z)[kPoints]) const {
    using Stage = LineStage<S, I>;
    using X = Exchange<S, I - 1, Width>;
    static_for<Stage::kButterflies>([&](auto i) {
      static_for<Stage::kRadix>([&](auto a) {
        z[i * Stage::kRadix + a] =
            tile.load((a * X::kPitch + line_thread + kLineThreads * i) * Width + line);
      });
    });
  }

  // Runs stages I to the last. If I > 0, the exchange before stage I must be written. Other threads
  // may still read the tile when this returns.
  template <int I>
  FNET_DEVICE void finish(Point (&z)[kPoints]) const {
    if constexpr (I > 0) {
      sync();
      take_all<I>(z);
    }
    stage<I>(z);
    if constexpr (!LineStage<S, I>::kLast) {
      if constexpr (I > 0) sync();
      put_all<I>(z);
      finish<I + 1>(z);
    }
  }

  // The frequency of register i of the last stage's output.
  static FNET_FN constexpr int frequency(int line_thread, int i) {
    constexpr int R = S.radix[S.stages() - 1];
    return line_thread + kLineThreads * (i / R) + S.length / R * (i % R);
  }
};

}  // namespace fnet
