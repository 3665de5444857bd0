// The list of lengths with CUDA kernels and the radices of each. To add a length, add a line.
//
// Radices ascend, because the last stage has no twiddles, but odd factors precede all others: the
// rest of the line is then a power of two, and its index arithmetic consists of shifts. Lengths for
// which this order would spill registers use a different one.
#pragma once

#include "core/defs.h"

namespace fnet {

inline constexpr int kMaxLineStages = 4;

// A line of `length` complex numbers in the registers of length / points threads.
struct LineShape {
  int length, points;
  int radix[kMaxLineStages] = {1, 1, 1, 1};

  constexpr int threads() const { return length / points; }
  constexpr int stages() const {
    int count = 0;
    while (count < kMaxLineStages && radix[count] > 1) ++count;
    return count;
  }
};

// A block of the kernels along seq transforms the even or the odd rows of `lines` neighbouring
// pairs of columns; 8 pairs of 16-bit numbers, or 4 of 32-bit numbers, are a 32-byte sector of each
// row. fft_blocks and grad_blocks are the blocks per multiprocessor of seq_fft and seq_grad. The
// compiler divides its 65,536 registers among them; with more blocks a thread would spill.
enum class SeqKernel { kFft, kGrad };
struct SeqTile {
  int lines = 0, fft_blocks = 0, grad_blocks = 0;  // 0: that kernel does not use the shape

  constexpr int blocks(SeqKernel kernel) const {
    return kernel == SeqKernel::kFft ? fft_blocks : grad_blocks;
  }
};

// A shape of a sequence length, with tiles for 16-bit and 32-bit storage. A line is half of the
// length. If a length has several shapes, a device uses the first whose block fits in its shared
// memory: 227 KB on data-centre devices, 99 KB on others.
//
// At 8192 no 16-bit block is a whole sector wide: 8 lines of 4096 would need all 65,536 registers.
// In 32 bits the two kernels have different shapes at 4096 and 8192, because each would spill with
// the radices or points of the other.
struct SeqShape {
  LineShape line;
  SeqTile tile16, tile32;

  constexpr int seq() const { return 2 * line.length; }
  template <class T>
  constexpr const SeqTile& tile() const {
    return sizeof(T) == 4 ? tile32 : tile16;
  }
};

// A shape of a hidden length. A line is two rows of the spectrum. Its first radix is half of its
// points, because a thread begins with one butterfly of each row.
struct RowBlocks {
  int fft, grad;
};
struct RowShape {
  LineShape line;
  RowBlocks blocks16, blocks32;

  template <class T>
  constexpr const RowBlocks& blocks() const {
    return sizeof(T) == 4 ? blocks32 : blocks16;
  }
};

// A block of the kernels along hidden has this many threads, or one line if a line has more.
inline constexpr int kRowThreads = 128;
constexpr int row_block_lines(const LineShape& line) {
  return line.threads() < kRowThreads ? kRowThreads / line.threads() : 1;
}

// With -DFNET_FEW_LENGTHS a build for checks (sanitizers, mutants) has one length of each kind.
#if defined(FNET_FEW_LENGTHS)
inline constexpr SeqShape kSeqShapes[] = {
    {{8, 2, {2, 2, 2}}, {8, 16, 16}, {8, 16, 16}},
    {{192, 24, {24, 8}}, {8, 8, 8}, {8, 8, 8}},
};
inline constexpr RowShape kRowShapes[] = {
    {{64, 8, {4, 4, 4}}, {5, 4}, {4, 4}},
    {{768, 24, {12, 8, 8}}, {4, 4}, {4, 3}},
    {{1024, 16, {8, 8, 16}}, {4, 4}, {4, 4}},
};
#else

inline constexpr SeqShape kSeqShapes[] = {
    {{8, 2, {2, 2, 2}}, {8, 16, 16}, {8, 16, 16}},
    {{16, 4, {4, 4}}, {32, 8, 8}, {32, 8, 8}},
    {{32, 8, {4, 8}}, {32, 10, 10}, {32, 8, 8}},
    {{64, 8, {8, 8}}, {16, 10, 10}, {16, 8, 8}},
    {{128, 16, {8, 16}}, {16, 8, 8}, {16, 7, 8}},
    {{192, 24, {24, 8}}, {8, 10, 8}, {8, 10, 8}},
    {{256, 16, {16, 16}}, {8, 8, 8}, {8, 7, 7}},
    {{320, 20, {20, 4, 4}}, {8, 6, 5}, {8, 5, 5}},
    {{384, 24, {6, 8, 8}}, {8, 5, 4}, {8, 4, 4}},
    {{512, 16, {8, 8, 8}}, {8, 4, 4}, {8, 3, 4}},
    {{640, 40, {10, 8, 8}}, {8, 3, 2}, {8, 3, 2}},
    {{768, 24, {12, 8, 8}}, {8, 2, 2}, {8, 2, 2}},
    {{1024, 16, {8, 16, 8}}, {8, 2, 2}, {4, 3, 4}},
    {{1280, 40, {20, 8, 8}}, {8, 1, 1}, {4, 3, 2}},
    {{1536, 24, {24, 8, 8}}, {8, 1, 1}, {4, 2, 2}},
    {{2048, 16, {8, 16, 16}}, {8, 1, 1}, {4, 2, 0}},
    {{2048, 16, {8, 16, 16}}, {4, 2, 2}, {}},
    {{2048, 16, {16, 8, 16}}, {}, {4, 0, 2}},
    {{4096, 16, {16, 16, 16}}, {4, 1, 1}, {4, 0, 1}},
    {{4096, 16, {16, 16, 16}}, {2, 2, 2}, {2, 0, 2}},
    {{4096, 32, {16, 16, 16}}, {}, {4, 1, 0}},
    {{4096, 32, {16, 16, 16}}, {}, {2, 1, 0}},
};

inline constexpr RowShape kRowShapes[] = {
    {{64, 8, {4, 4, 4}}, {8, 8}, {8, 8}},        {{128, 16, {8, 16}}, {7, 5}, {5, 6}},
    {{256, 16, {8, 4, 8}}, {8, 6}, {5, 6}},      {{384, 24, {12, 4, 8}}, {5, 4}, {4, 4}},
    {{512, 16, {8, 4, 16}}, {5, 5}, {5, 6}},     {{640, 40, {20, 4, 8}}, {3, 2}, {2, 2}},
    {{768, 24, {12, 8, 8}}, {4, 4}, {4, 4}},     {{1024, 16, {8, 8, 16}}, {5, 6}, {5, 5}},
    {{1280, 40, {20, 8, 8}}, {3, 2}, {2, 2}},    {{1536, 24, {12, 4, 4, 8}}, {4, 4}, {4, 4}},
    {{2048, 16, {8, 16, 16}}, {5, 5}, {5, 6}},   {{2560, 40, {20, 4, 4, 8}}, {3, 2}, {2, 2}},
    {{3072, 24, {12, 4, 8, 8}}, {5, 4}, {4, 4}}, {{4096, 16, {8, 8, 8, 8}}, {2, 2}, {2, 3}},
};
#endif

constexpr int length_of(const SeqShape& shape) { return shape.seq(); }
constexpr int length_of(const RowShape& shape) { return shape.line.length; }

}  // namespace fnet
