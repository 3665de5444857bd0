// A block of the kernels along seq, and the FFT of its lines.
#pragma once

#include "cuda/blocks.h"
#include "cuda/line_fft.h"

namespace fnet {

// Where p points, n rows of so many bytes further on: one multiplication, 64 bits wide.
template <class T>
FNET_DEVICE T* rows_on(T* p, unsigned row_bytes, int n) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(p) + uint64_t(row_bytes) * unsigned(n));
}

template <class T, int Shape>
struct SeqLine : SeqBlock<T, Shape> {
  using K = SeqBlock<T, Shape>;
  using Fft = LineFft<K::kLine, K::kLines>;
  // The register of element lane + kLanes q.
  static constexpr int slot_of(int q) {
    using First = LineStage<K::kLine, 0>;
    return q % First::kButterflies * First::kRadix + q / First::kButterflies;
  }
  // This thread's part, found anew: it takes no registers from what came before.
  static FNET_DEVICE Fft fft() {
    const int t = recomputed(thread_index());
    return {shared_memory<Complex<float>>(), t / K::kLines, t % K::kLines};
  }
  // For how many points a thread asks memory at once, where a point on its way takes so many
  // registers beside its own two: as many as leave the addresses theirs, and no more than 12.
  static constexpr int at_once(int blocks, int registers) {
    constexpr int kAddresses = 28, kPoints = K::kLine.points;
    const int all = 65536 / (K::kThreads * blocks) / 8 * 8;
    int batch = least(kPoints, 12);
    while (batch > 1 && (kPoints % batch || batch * registers > all - 2 * kPoints - kAddresses))
      --batch;
    return batch;
  }
  // How either kernel along seq is launched: a block for each tile of the even and of the odd rows.
  template <class Args>
  static LaunchConfig config(const char* name, const Args& args, const CudaQueue& queue) {
    return {.name = name,
            .grid = dim3(unsigned(K::tiles(args.hidden)), 2, unsigned(args.batch)),
            .block = dim3(K::kThreads),
            .shared_bytes = size_t(K::kSharedBytes),
            .stream = queue.stream};
  }
};

}  // namespace fnet
