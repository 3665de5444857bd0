// The blocks of seq_fft and the FFT of their lines.
#pragma once

#include "cuda/blocks.h"
#include "cuda/line_fft.h"

namespace fnet {

// p plus n rows of row_bytes, with one 64-bit multiplication.
template <class T>
FNET_DEVICE T* rows_on(T* p, unsigned row_bytes, int n) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(p) + uint64_t(row_bytes) * unsigned(n));
}

// From 10.0 on the compiler needs a few registers more for the same code.
inline constexpr bool kScarce = kArchitecture >= 1000;

template <class T, int Shape>
struct SeqLine : SeqBlock<T, Shape> {
  using K = SeqBlock<T, Shape>;
  using Fft = LineFft<K::kLine, K::kLines>;
  // The register that holds element line_thread + kLineThreads q.
  static constexpr int slot_of(int q) {
    using First = LineStage<K::kLine, 0>;
    return q % First::kButterflies * First::kRadix + q / First::kButterflies;
  }
  // This thread's part, recomputed at each use to keep no registers live in between.
  static FNET_DEVICE Fft fft() {
    const int t = opaque(thread_index());
    return {shared_memory<Complex<float>>(), t / K::kLines, t % K::kLines};
  }
  // The number of points that a thread loads before it waits: the most that leaves registers for
  // the addresses, at most 12. A load in flight needs registers besides the two of its point: in 16
  // bits only for the statistics of its rows.
  template <bool Adapted>
  static constexpr int loads_in_flight() {
    constexpr bool kWide = sizeof(T) == 4;
    constexpr int kAddresses = Adapted && kWide ? 40 : 28, kPoints = K::kLine.points;
    constexpr int kRegisters = Adapted ? (kWide ? 7 : 2) : (kWide ? 3 : 0);
    const int all = 65536 / (K::kThreads * K::compiled_blocks(Adapted)) / 8 * 8;
    // More spill in lines of 40 points, and where registers are scarce, as found by trial.
    constexpr int kOfLine = kScarce ? 1 : 64 / K::kLine.threads();
    const int most = Adapted && kPoints > 32 ? kOfLine : kScarce && all <= 64 ? 4 : 12;
    int batch = min_of(kPoints, most);
    while (batch > 1 && (kPoints % batch || batch * kRegisters > all - 2 * kPoints - kAddresses))
      --batch;
    return batch;
  }
};

}  // namespace fnet
