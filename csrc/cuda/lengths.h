// THE list of lengths that have CUDA kernels, and how each is split. A new length is a new line
// here.
//
// Smaller radices come first: the last stage has no twiddles. Odd factors come first of all, so
// that what is left of the line is a power of two and its index arithmetic is shifts.
#pragma once

#include <iterator>

#include "fft/defs.h"

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

// A block of seq_fft transforms `lines` pairs of columns at once: 8 pairs of 16-bit numbers are a
// 32-byte sector of each row. Longer sequences leave room for fewer in shared memory.
struct SeqShape {
  LineShape line;
  int lines;
};

// A block of the kernels along hidden has this many threads, or one line where that has more.
inline constexpr int kRowThreads = 128;
constexpr int row_block_lines(const LineShape& line) {
  return line.threads() < kRowThreads ? kRowThreads / line.threads() : 1;
}

// -DFNET_FEW_LENGTHS: a build that only checks the code (sanitizers, mutants) takes one of a kind.
#if defined(FNET_FEW_LENGTHS)
inline constexpr SeqShape kSeqShapes[] = {{{16, 4, {4, 4}}, 32}, {{384, 24, {6, 8, 8}}, 8}};
inline constexpr LineShape kRowShapes[] = {
    {64, 8, {4, 4, 4}}, {768, 24, {12, 8, 8}}, {1024, 16, {8, 8, 16}}};
#else

inline constexpr SeqShape kSeqShapes[] = {
    {{16, 4, {4, 4}}, 32},         {{32, 8, {4, 8}}, 32},           {{64, 8, {8, 8}}, 16},
    {{128, 16, {8, 16}}, 16},      {{256, 16, {16, 16}}, 8},        {{384, 24, {6, 8, 8}}, 8},
    {{512, 16, {8, 8, 8}}, 8},     {{640, 40, {10, 8, 8}}, 8},      {{768, 24, {12, 8, 8}}, 8},
    {{1024, 16, {8, 8, 16}}, 8},   {{1280, 40, {20, 8, 8}}, 8},     {{1536, 24, {3, 8, 8, 8}}, 8},
    {{2048, 16, {8, 16, 16}}, 8},  {{2560, 40, {5, 8, 8, 8}}, 4},   {{3072, 24, {6, 8, 8, 8}}, 4},
    {{4096, 32, {16, 16, 16}}, 4}, {{8192, 32, {4, 8, 16, 16}}, 2},
};

// A line of row_fft is two rows of the spectrum. Its first radix is half of its points: a thread
// begins with a butterfly of each row.
inline constexpr LineShape kRowShapes[] = {
    {64, 8, {4, 4, 4}},        {128, 16, {8, 16}},       {256, 16, {8, 4, 8}},
    {384, 24, {12, 4, 8}},     {512, 16, {8, 4, 16}},    {640, 40, {20, 4, 8}},
    {768, 24, {12, 8, 8}},     {1024, 16, {8, 8, 16}},   {1280, 40, {20, 8, 8}},
    {1536, 24, {12, 4, 4, 8}}, {2048, 16, {8, 16, 16}},  {2560, 40, {20, 4, 4, 8}},
    {3072, 24, {12, 4, 8, 8}}, {4096, 16, {8, 8, 8, 8}},
};
#endif

constexpr int length_of(const SeqShape& shape) { return shape.line.length; }
constexpr int length_of(const LineShape& shape) { return shape.length; }

namespace detail {

template <const auto& Shapes, class F, size_t... I>
bool visit_shape(int64_t length, const F& body, std::index_sequence<I...>) {
  return ((length == length_of(Shapes[I]) && (body(std::integral_constant<int, int(I)>{}), true)) ||
          ...);
}

}  // namespace detail

// Calls body(integral_constant I) for the shape of that length; false when there is none.
template <const auto& Shapes, class F>
bool visit_shape(int64_t length, const F& body) {
  return detail::visit_shape<Shapes>(length, body, std::make_index_sequence<std::size(Shapes)>{});
}

template <const auto& Shapes>
constexpr bool has_shape(int64_t length) {
  for (const auto& shape : Shapes)
    if (length_of(shape) == length) return true;
  return false;
}

}  // namespace fnet
