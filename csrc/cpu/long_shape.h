// One sequence whose short axis has too few lines to fill the lanes of the pass along its long one.
//
// The long axis is transformed in four steps, L = a b (D. H. Bailey, FFTs in external or
// hierarchical memory, J. Supercomputing 4, 1990), so that the lanes hold parts of one line:
//   Z[q + a r] = sum_j w_b^{jr} w_L^{jq} sum_i w_a^{iq} z[b i + j].
// M(x^T) = M(x)^T: the same passes serve a long seq, with rows and columns of x exchanged.
//
// A length that has no such factors is convolved with a chirp (Bluestein's algorithm, as in
// line_plan.h): four steps of a b >= 2 L points, a product, and the same four steps transposed.
#pragma once

#include <cstdint>
#include <span>

#include "core/args.h"
#include "cpu/radices.h"
#include "fft/mirror.h"

namespace fnet {

// The factors of the points of a long line: 0 if there are none.
struct Split {
  int64_t a = 0, b = 0;

  FNET_FN int64_t points() const { return a * b; }
};

// The most balanced split of a length into factors that fill vectors.
Split split_of(int64_t length);

// Whether lines of a length can be convolved in parts, whatever its factors.
constexpr bool can_be_convolved(int64_t length) { return length >= 1 && length <= kMaxLength / 4; }

// The cheapest split of at least 2 length points, for a length that can_be_convolved().
Split convolved_split_of(int64_t length);

// Whether lines of a length have one of the two.
inline bool has_parts(int64_t length) {
  return can_be_convolved(length) || split_of(length).points() > 0;
}

// What the pieces of a phase do. Each phase reads what the pieces of the one before wrote.
enum class LongPhase {
  kShortAxis,      // fold, and transform along the short axis
  kSumOverI,       // with twiddles; before it the chirp, if there is one
  kSumOverJ,       // the transform is complete
  kConvolveOverJ,  // the sums over j, the product, and the same sums over r, with twiddles
  kSumOverQ,       // with the chirp; the transform is complete
  kEpilogue,
};

// The sizes of the phases of a sequence.
struct LongShape {
  int64_t small, length;  // of the short axis and of the long one
  bool along_seq;         // the long axis is seq
  Split split;
  int64_t width;

  FNET_FN bool is_convolved() const { return split.points() != length; }
  // Complex lines along the long axis: pairs of rows k = 0..small/2 of G.
  FNET_FN int64_t lines() const { return paired_lines(small); }
  // Rows are aligned, have W elements before the first and at least W + 1 after the last.
  FNET_FN int64_t pitch() const { return (split.points() / width + 4) * width; }
  // Numbers of the lines of a sequence, real and imaginary parts apart.
  FNET_FN int64_t line_numbers() const { return 2 * lines() * pitch(); }
  // The same with the transforms of the lines, which replace them if they are convolved.
  FNET_FN int64_t numbers() const { return line_numbers() * (is_convolved() ? 1 : 2); }
  std::span<const LongPhase> phases() const {
    using enum LongPhase;
    static constexpr LongPhase kPlain[] = {kShortAxis, kSumOverI, kSumOverJ, kEpilogue};
    static constexpr LongPhase kConvolved[] = {kShortAxis, kSumOverI, kConvolveOverJ, kSumOverQ,
                                               kEpilogue};
    if (is_convolved()) return kConvolved;
    return kPlain;
  }
  // Independent pieces of a phase.
  FNET_FN int64_t pieces(LongPhase phase) const {
    const auto ceil_div = [](int64_t n, int64_t m) { return (n + m - 1) / m; };
    switch (phase) {
      case LongPhase::kShortAxis: return ceil_div(half_length(length), 2 * width);
      case LongPhase::kSumOverI:
      case LongPhase::kSumOverQ: return lines() * ceil_div(split.b, width);
      case LongPhase::kSumOverJ:
      case LongPhase::kConvolveOverJ: return lines() * ceil_div(split.a, width);
      case LongPhase::kEpilogue: break;
    }
    return along_seq ? ceil_div(length, width) : half_length(small);
  }
};

LongShape long_shape(const MixArgs& args, bool along_seq, int width);

// The points of the lines of scratch: of the longest of all phases, or of a row of y.
int64_t line_places(const LongShape& shape);

}  // namespace fnet
