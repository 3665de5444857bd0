// The tables of one transform length, built once and shared: stages, twiddles, positions.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/line_shape.h"
#include "fft/complex.h"

namespace fnet {

template <class R>
struct PrimeStage;

// One decimation-in-frequency stage: it splits lines of radix * rest points into radix lines of
// rest points, which start `stride` apart in memory.
template <class R>
struct Stage {
  int radix;
  int64_t rest, stride;
  // exp(-2 pi i jq / (radix rest)) at [i (radix - 1) + q - 1], 0 < q < radix, for the point j that
  // is at place i < rest of the sub-line; null if rest = 1.
  const Complex<R>* twiddles;
  const PrimeStage<R>* prime;  // of `radix` points; null: a butterfly
};

template <class R>
struct LinePlan {
  int64_t length, extent;  // extent: the elements of a line in memory
  int stages;
  const Stage<R>* stage;
  const int32_t* entry;     // input n is at entry[n]
  const int32_t* position;  // output k is at position[k], k = 0..length; output `length` is 0
  int64_t bytes;            // of its tables
};

// The DFT of p points that are no radix. Rader's and Bluestein's algorithms express it by
// y_k = sum_n a_n c_{n+k}, a cyclic convolution of M numbers. The inner plan transforms a; after
// the product with c's spectrum its transpose yields y in the places of a.
//   Rader: a_q = x[g^q], c_i = w^(g^i) for a primitive root g: X[g^k] = x_0 + y_k. Place 0 holds
//     x_0 and X_0, and place 1 + i holds place i of the inner line.
//   Bluestein: a_n = x_n / w^(n^2/2), c_i = w^(i^2/2): X_k = y_k / w^(k^2/2).
// Sources: C. M. Rader, Proc. IEEE 56 (1968), 1107; L. I. Bluestein, IEEE Trans. AU-18 (1970), 451.
template <class R>
struct PrimeStage {
  Algorithm algorithm;
  std::vector<int32_t> place;  // of the points n < p, inputs and outputs
  // Direct: cos and sin of 2 pi ik / p at [(k - 1) h + i - 1] for 0 < i, k <= h = (p - 1) / 2.
  std::vector<Complex<R>> roots;
  // Rader and Bluestein.
  std::shared_ptr<const LinePlan<R>> inner;
  // By place of the inner line: sum_i c_i exp(2 pi i ik / M) / M for its output k.
  std::vector<Complex<R>> spectrum;
  std::vector<Complex<R>> chirp;  // Bluestein: w^(-n^2/2), n < p
};

// The plan for a length that has_line(). Thread-safe; plans are kept for later calls.
template <class R>
std::shared_ptr<const LinePlan<R>> line_plan(int64_t length);

extern template std::shared_ptr<const LinePlan<float>> line_plan(int64_t);
extern template std::shared_ptr<const LinePlan<double>> line_plan(int64_t);

}  // namespace fnet
