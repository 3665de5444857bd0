// The FFT of a line whose numbers lie in the registers of several threads: butterflies in
// registers, and between two stages an exchange through shared memory.
//
// Decimation in frequency. Before stage i the line holds D sub-transforms of length M = R C side by
// side (D: the product of the radices before, R: this one). A butterfly (c, prefix) takes elements
// c + C a, a = 0..R-1, of sub-transform `prefix`, and gives element c of the sub-transforms
// prefix + D p, p = 0..R-1, times w_M^{c p}. After the last stage sub-transforms have length 1 and
// are numbered by frequency.
//
// Thread t of L owns butterflies j = c + C prefix = t, t + L, ...; its element (butterfly i, slot
// a) is register i R + a.
#pragma once

#include "cuda/lengths.h"
#include "cuda/twiddle_table.h"
#include "fft/dft.h"

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
  static constexpr int kButterflies = S.points / kRadix;       // of one thread
  static constexpr bool kLast = I + 1 == S.stages();
  static_assert(S.points % kRadix == 0 && product(0, S.stages()) == S.length);
};

inline constexpr int kTileSkew = 8;

// Where an exchange keeps what: slot a' of butterfly j' of the coming stage at a' Pitch + j', so
// that threads read neighbours. `Width` lines lie side by side in a tile. The padding is whatever
// gives the writes the fewest bank conflicts.
template <LineShape S, int I, int Width>
struct Exchange {
  using From = LineStage<S, I>;
  using To = LineStage<S, I + 1>;
  static constexpr int kNext = S.length / To::kRadix;

  static constexpr int position(int pitch, int c, int prefix, int p) {
    return c / To::kColumns * pitch + c % To::kColumns +
           To::kColumns * (prefix + From::kPrefixes * p);
  }

  // Wavefronts of the first few half-warps' writes: 16 lanes of 8 bytes over 16 pairs of banks.
  static constexpr int cost(int pad) {
    const int pitch = kNext + pad, lanes = S.threads();
    int total = 0;
    for (int half = 0; half < 4; ++half)
      for (int p = 0; p < 2; ++p) {
        int used[16] = {}, worst = 0;
        for (int thread = 16 * half; thread < 16 * half + 16; ++thread) {
          const int lane = thread / Width % lanes, tile = thread / Width / lanes;
          const int at = position(pitch, lane % From::kColumns, lane / From::kColumns, p);
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
  static constexpr int kSize = kPitch * To::kRadix;  // of a line
};

// Complex numbers of a tile: enough for its largest exchange. Tiles of fewer than 16 threads follow
// each other skewed by half of the banks.
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

// Blocks of a multiprocessor that the compiler is told to leave registers for. Fewer than a thread
// needs would spill; the figures are the least that do not (bench/results/kernel_report.json). Long
// registers are no loss here: 16 to 40 independent points a thread hide latency by themselves.
constexpr int resident_blocks(int registers, int threads) {
  const int blocks = 65536 / (registers * threads);
  return blocks > 0 ? blocks : 1;
}

// What one thread needs to take part.
template <LineShape S, int Width>
struct LineFft {
  static constexpr int kPoints = S.points, kLanes = S.threads();
  // Threads of one warp need no more than its barrier.
  static constexpr bool kInWarp = Width == 1 && kLanes <= kWarp;

  using Point = Complex<float>;
  Shared<Point> tile;  // of this thread's lines
  int lane, line;      // thread of the line, and which of the Width lines

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
    if constexpr (!Stage::kLast)
      static_for<Stage::kRadix - 1>(
          [&](auto p) { z[p + 1] = z[p + 1] * twiddle<Stage::kRadix, Stage::kColumns>(p + 1, c); });
  }

  template <int I>
  FNET_DEVICE void stage(Point (&z)[kPoints]) const {
    using Stage = LineStage<S, I>;
    static_for<Stage::kButterflies>([&](auto i) {
      Point y[Stage::kRadix];
      static_for<Stage::kRadix>([&](auto a) { y[a] = z[i * Stage::kRadix + a]; });
      butterfly<I>(y, (lane + kLanes * i) % Stage::kColumns);
      static_for<Stage::kRadix>([&](auto a) { z[i * Stage::kRadix + a] = y[a]; });
    });
  }

  // The outputs of butterfly (c, prefix) of stage I, to where stage I + 1 reads them.
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
      const int j = lane + kLanes * i;
      put<I>(z + i * Stage::kRadix, j % Stage::kColumns, j / Stage::kColumns);
    });
  }
  // The inputs of stage I.
  template <int I>
  FNET_DEVICE void take_all(Point (&z)[kPoints]) const {
    using Stage = LineStage<S, I>;
    using X = Exchange<S, I - 1, Width>;
    static_for<Stage::kButterflies>([&](auto i) {
      static_for<Stage::kRadix>([&](auto a) {
        z[i * Stage::kRadix + a] = tile.load((a * X::kPitch + lane + kLanes * i) * Width + line);
      });
    });
  }

  // Stages I to the last. The exchange before stage I has been written (I > 0), and the tile may
  // still be read by others when this returns.
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
  static FNET_DEVICE int frequency(int lane, int i) {
    constexpr int R = S.radix[S.stages() - 1];
    return lane + kLanes * (i / R) + S.length / R * (i % R);
  }
};

}  // namespace fnet
