// The tables of a row of 2 h real numbers that is transformed as a complex line of h points. With
// z_m = x_{2m} + i x_{2m+1}, and E and O the transforms of its parts:
//   X_l = E_l + w^l O_l, X_{l+h} = E_l - w^l O_l, w = exp(-pi i / h).
#pragma once

#include <memory>
#include <vector>

#include "cpu/line_plan.h"

namespace fnet {

template <class R>
struct RealLinePlan {
  std::shared_ptr<const LinePlan<R>> half;  // of h points
  std::vector<Complex<R>> twiddles;         // w^l, l < h
  int64_t bytes;                            // of the tables of both
};

// Whether sequences in lanes are such rows. All others pair two rows of their spectrum in a line of
// full length.
constexpr bool has_real_line(int64_t seq, int64_t hidden) { return seq == 1 && hidden % 2 == 0; }

// The plan of an even length. Thread-safe; plans are kept for later calls.
template <class R>
std::shared_ptr<const RealLinePlan<R>> real_line_plan(int64_t length);

extern template std::shared_ptr<const RealLinePlan<float>> real_line_plan(int64_t);
extern template std::shared_ptr<const RealLinePlan<double>> real_line_plan(int64_t);

}  // namespace fnet
