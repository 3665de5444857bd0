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

// A block of seq_fft transforms the even or the odd rows of `lines` neighbouring pairs of columns.
// 8 pairs of 16-bit numbers, or 4 of 32-bit numbers, are a 32-byte sector of each row. A block of
// 16-bit numbers takes more where it can: every access then looks up fewer lines of L2 for its
// bytes, and lookups are what bounds 8 pairs. blocks_per_sm: blocks per multiprocessor. The
// compiler divides its 65,536 registers among them; with more blocks a thread would spill.
// adapted_blocks: the same for the kernel that normalises or scales rows, if not as many; with 0
// the next shape, of the same length, has that kernel.
struct SeqTile {
  int lines = 0, blocks_per_sm = 0;  // 0: no blocks with this storage
  int adapted_blocks = blocks_per_sm;

  constexpr int blocks(bool adapted) const { return adapted ? adapted_blocks : blocks_per_sm; }
};

// A shape of a sequence length, with tiles for 16-bit and 32-bit storage. A line is half of the
// length. If a length has several shapes, a device uses the first whose block fits in its shared
// memory: 227 KB on data-centre devices, 99 KB on others.
//
// At 8192 no 16-bit block is a whole sector wide: 8 lines of 4096 would need all 65,536 registers.
// In 32 bits more points per thread save those registers that loads in flight need.
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
// blocks16 and blocks32: blocks per multiprocessor, as in SeqTile.
struct RowShape {
  LineShape line;
  int blocks16, blocks32;

  template <class T>
  constexpr int blocks_per_sm() const {
    return sizeof(T) == 4 ? blocks32 : blocks16;
  }
};

// A block of row_fft has this many threads, or one line if a line has more.
inline constexpr int kRowThreads = 128;
constexpr int row_block_lines(const LineShape& line) {
  return line.threads() < kRowThreads ? kRowThreads / line.threads() : 1;
}

// With -DFNET_FEW_LENGTHS a build for checks (sanitizers, mutants) has one length of each kind.
#if defined(FNET_FEW_LENGTHS)
inline constexpr SeqShape kSeqShapes[] = {
    {{8, 2, {2, 2, 2}}, {8, 16}, {8, 16}},
    {{192, 24, {24, 8}}, {8, 8}, {8, 8}},
};
inline constexpr RowShape kRowShapes[] = {
    {{64, 8, {4, 4, 4}}, 5, 4},
    {{768, 24, {12, 8, 8}}, 4, 4},
    {{1024, 16, {8, 8, 16}}, 4, 4},
};
#else

inline constexpr SeqShape kSeqShapes[] = {
    {{8, 2, {2, 2, 2}}, {8, 16}, {8, 16}},          {{16, 4, {4, 4}}, {32, 8}, {32, 8}},
    {{32, 8, {4, 8}}, {32, 10}, {32, 8}},           {{64, 8, {8, 8}}, {32, 5}, {16, 8}},
    {{128, 16, {8, 16}}, {32, 4}, {16, 7, 6}},      {{192, 24, {24, 8}}, {16, 5, 4}, {8, 10, 4}},
    {{256, 16, {16, 16}}, {32, 2}, {8, 7, 3}},      {{320, 20, {20, 4, 4}}, {16, 3, 2}, {8, 5, 4}},
    {{384, 24, {6, 8, 8}}, {16, 2}, {8, 4, 2}},     {{512, 16, {8, 8, 8}}, {16, 2, 1}, {8, 3, 2}},
    {{640, 40, {10, 8, 8}}, {8, 3}, {8, 3, 2}},     {{768, 24, {12, 8, 8}}, {8, 2}, {8, 2, 1}},
    {{1024, 16, {8, 16, 8}}, {8, 2, 1}, {4, 3, 2}}, {{1280, 40, {20, 8, 8}}, {8, 1}, {4, 3, 2}},
    {{1536, 24, {24, 8, 8}}, {8, 1}, {4, 2, 1}},    {{2048, 16, {8, 16, 16}}, {8, 1}, {4, 2, 1}},
    {{2048, 16, {8, 16, 16}}, {4, 2, 1}, {}},       {{4096, 16, {16, 16, 16}}, {4, 1, 0}, {}},
    {{4096, 16, {16, 16, 16}}, {2, 2, 1}, {}},      {{4096, 32, {16, 16, 16}}, {}, {4, 1, 0}},
    {{4096, 32, {16, 16, 16}}, {}, {2, 1}},
};

inline constexpr RowShape kRowShapes[] = {
    {{64, 8, {4, 4, 4}}, 8, 8},        {{128, 16, {8, 16}}, 7, 5},
    {{256, 16, {8, 4, 8}}, 7, 5},      {{384, 24, {12, 4, 8}}, 5, 4},
    {{512, 16, {8, 4, 16}}, 5, 5},     {{640, 40, {20, 4, 8}}, 3, 3},
    {{768, 24, {12, 8, 8}}, 4, 4},     {{1024, 16, {8, 8, 16}}, 5, 5},
    {{1280, 40, {20, 8, 8}}, 3, 3},    {{1536, 24, {12, 4, 4, 8}}, 4, 4},
    {{2048, 16, {8, 16, 16}}, 5, 5},   {{2560, 40, {20, 4, 4, 8}}, 3, 3},
    {{3072, 24, {12, 4, 8, 8}}, 5, 3}, {{4096, 16, {8, 8, 8, 8}}, 2, 2},
};
#endif

constexpr int length_of(const SeqShape& shape) { return shape.seq(); }
constexpr int length_of(const RowShape& shape) { return shape.line.length; }

}  // namespace fnet
