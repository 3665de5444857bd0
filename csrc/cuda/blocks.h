// The block shapes of both kernels, as constants for the kernels and for the host, which
// divides the work.
#pragma once

#include <algorithm>
#include <iterator>

#include "cuda/api.h"
#include "cuda/exchange.h"
#include "cuda/kernels.h"
#include "cuda/warp.h"

namespace fnet {

// The architecture that nvcc compiles a kernel for; in other code that of the largest devices.
#if defined(__CUDA_ARCH__)
inline constexpr int kArchitecture = __CUDA_ARCH__;
#else
inline constexpr int kArchitecture = 900;
#endif

// The shared memory of a multiprocessor: "Technical Specifications per Compute Capability" of
// NVIDIA's guide.
constexpr int shared_bytes_of(int architecture) {
  if (architecture == 800 || architecture == 870) return 164 << 10;
  return architecture >= 900 && architecture < 1200 ? 228 << 10 : 100 << 10;
}
inline constexpr int kLargestShared = shared_bytes_of(900);
inline constexpr int kCompiledShared = shared_bytes_of(kArchitecture);

// Whether the largest devices have room for this many blocks. The system reserves 1 KB of each.
constexpr bool fit(int blocks_per_sm, int shared_bytes) {
  return blocks_per_sm * (shared_bytes + 1024) <= kLargestShared;
}

// Blocks per multiprocessor with this much shared memory, if its registers allow `blocks_per_sm`.
constexpr int resident_blocks(int blocks_per_sm, int shared_bytes, int shared) {
  return std::clamp(shared / (shared_bytes + 1024), 1, blocks_per_sm);
}

// A block along seq has `kLines` neighbouring pairs of columns. Each pair is a line of kLength
// complex numbers, from every second row.
template <class T, int Shape>
struct SeqBlock {
  static constexpr LineShape kLine = kSeqShapes[Shape].line;
  static constexpr SeqTile kTile = kSeqShapes[Shape].template tile<T>();
  static constexpr int kSeq = kSeqShapes[Shape].seq(), kLength = kLine.length;
  static constexpr int kLines = kTile.lines, kThreads = kLines * kLine.threads();
  static constexpr int kSharedBytes = tile_size<kLine, kLines>() * int(sizeof(Complex<float>));
  static_assert(kThreads % kWarp == 0 && kWarp % kLines == 0);
  static_assert(fit(kTile.blocks_per_sm, kSharedBytes));
  // The compiler divides registers among no more blocks than fit: saved registers would be useless.
  static constexpr int compiled_blocks(bool adapted) {
    return resident_blocks(kTile.blocks(adapted), kSharedBytes, kCompiledShared);
  }

  static int tiles(int64_t hidden) {
    return int((spectrum_lines(int(hidden)) + kLines - 1) / kLines);
  }
};

// A block along hidden has lines of kLength complex numbers. Each line is two rows of real numbers.
template <int Shape>
struct RowBlock {
  static constexpr LineShape kLine = kRowShapes[Shape].line;
  static constexpr int kLength = kLine.length, kLineThreads = kLine.threads(),
                       kPoints = kLine.points;
  static constexpr int kLines = row_block_lines(kLine), kThreads = kLines * kLineThreads;
  static constexpr int kTile = tile_size<kLine, 1>();
  // Sums over a row with several warps: each sum has its own place, 2 for each of 4 rows.
  static constexpr int kWarps = kLineThreads > kWarp ? kLineThreads / kWarp : 0;
  static constexpr int kSums = 8;
  static constexpr int kSharedBytes =
      kLines * (kTile * int(sizeof(Complex<float>)) + kSums * kWarps * int(sizeof(float)));
  static constexpr int kRadix = kLine.radix[0], kColumns = kLength / kRadix;
  static_assert(kPoints == 2 * kRadix && kColumns == 2 * kLineThreads && kRadix % 2 == 0);
  template <class T>
  static constexpr int kBlocksPerSm = kRowShapes[Shape].template blocks_per_sm<T>();
  // As in SeqBlock.
  template <class T>
  static constexpr int compiled_blocks() {
    return resident_blocks(kBlocksPerSm<T>, kSharedBytes, kCompiledShared);
  }

  static int64_t grid_size(int64_t batch, int64_t seq) {
    return (batch * row_lines(seq) + kLines - 1) / kLines;
  }
};

namespace detail {

// Calls body(integral_constant I) for I = 0, 1, ... until it returns true. Returns whether one did.
template <size_t... I, class F>
bool any_index(const F& body, std::index_sequence<I...>) {
  return (body(std::integral_constant<int, int(I)>{}) || ...);
}

}  // namespace detail

// Calls body(integral_constant I) for the first shape I of this length that has blocks for T and
// whose block fits in shared_bytes. Returns false if no shape does.
template <class T, class F>
bool visit_seq_shape(int64_t length, int64_t shared_bytes, const F& body) {
  return detail::any_index(
      [&](auto i) {
        if constexpr (kSeqShapes[i].template tile<T>().lines > 0) {
          using K = SeqBlock<T, i>;
          if (length != K::kSeq || K::kSharedBytes > shared_bytes) return false;
          body(i);
          return true;
        }
        return false;
      },
      std::make_index_sequence<std::size(kSeqShapes)>{});
}

// visit_seq_shape for the blocks along hidden.
template <class F>
bool visit_row_shape(int64_t length, int64_t shared_bytes, const F& body) {
  return detail::any_index(
      [&](auto i) {
        using K = RowBlock<i>;
        if (length != K::kLength || K::kSharedBytes > shared_bytes) return false;
        body(i);
        return true;
      },
      std::make_index_sequence<std::size(kRowShapes)>{});
}

// Calls body(integral_constant shape) for the shape of a plan. Returns false if there is none.
template <class T, class F>
bool with_seq_shape(int shape, const F& body) {
  return detail::any_index(
      [&](auto i) {
        if constexpr (kSeqShapes[i].template tile<T>().lines > 0) {
          if (i == shape) body(i);
          return i == shape;
        }
        return false;
      },
      std::make_index_sequence<std::size(kSeqShapes)>{});
}
template <class F>
bool with_row_shape(int shape, const F& body) {
  return detail::any_index(
      [&](auto i) {
        if (i == shape) body(i);
        return i == shape;
      },
      std::make_index_sequence<std::size(kRowShapes)>{});
}

}  // namespace fnet
