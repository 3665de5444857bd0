// One sequence whose short axis has too few lines to fill the lanes of the pass along its long one.
//
// The long axis is transformed in four steps, L = a b (D. H. Bailey, FFTs in external or
// hierarchical memory, J. Supercomputing 4, 1990), so that the lanes hold parts of one line:
//   Z[q + a r] = sum_j w_b^{jr} w_L^{jq} sum_i w_a^{iq} z[b i + j].
// M(x^T) = M(x)^T: the same passes serve a long seq, with rows and columns of x exchanged.
#pragma once

#include <cstdint>

#include "core/args.h"
#include "fft/mirror.h"

namespace fnet {

// The factors of a long length: 0 if it has no split.
struct Split {
  int64_t a = 0, b = 0;
};

// The most balanced split of a length into factors that fill vectors.
Split split_of(int64_t length);

// The sizes of the phases of a sequence.
struct LongShape {
  int64_t small, length;  // of the short axis and of the long one
  bool along_seq;         // the long axis is seq
  Split split;
  int64_t width;

  // Complex lines along the long axis: pairs of rows k = 0..small/2 of G.
  FNET_FN int64_t lines() const { return paired_lines(small); }
  // Rows are aligned, have W elements before the first and at least W + 1 after the last.
  FNET_FN int64_t pitch() const { return (length / width + 4) * width; }
  // Numbers per sequence: of the lines, real and imaginary parts apart, and of their transforms.
  FNET_FN int64_t line_numbers() const { return 2 * lines() * pitch(); }
  // Independent pieces of a phase.
  FNET_FN int64_t pieces(int phase) const {
    const auto ceil_div = [](int64_t n, int64_t m) { return (n + m - 1) / m; };
    switch (phase) {
      case 0: return ceil_div(half_length(length), 2 * width);  // fold, short axis
      case 1: return lines() * ceil_div(split.b, width);        // sum over i, twiddles
      case 2: return lines() * ceil_div(split.a, width);        // sum over j
      default: return along_seq ? ceil_div(length, width) : half_length(small);  // epilogue
    }
  }
  static constexpr int kPhases = 4;
};

LongShape long_shape(const MixArgs& args, bool along_seq, int width);

// The points of a line of scratch: the longest of the lines of all phases, or a row.
int64_t line_places(const LongShape& shape);

}  // namespace fnet
