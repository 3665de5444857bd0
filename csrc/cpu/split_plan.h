// The tables of a long length whose lines are transformed in parts; see long_shape.h.
#pragma once

#include <memory>
#include <vector>

#include "cpu/line_plan.h"
#include "cpu/long_shape.h"
#include "cpu/plan_cache.h"

namespace fnet {

// Complex numbers of neighbouring lanes.
template <class R>
struct LaneTable {
  std::vector<R> re, im;

  int64_t bytes() const { return bytes_of(re, im); }
  void reserve(int64_t size) { re.reserve(size), im.reserve(size); }
  template <class W>
  void add(Complex<W> z) {
    re.push_back(R(z.re)), im.push_back(R(z.im));
  }
};

template <class R>
struct SplitPlan {
  Split split;
  std::shared_ptr<const LinePlan<R>> first, second;  // of a and b points
  LaneTable<R> twiddles;                             // w^(qj) at [q b + j], q < a, j < b
  // If the length is convolved, as in line_plan.h:
  LaneTable<R> chirp;     // w^(-n^2/2) at n = 0..length; X_length is X_0
  LaneTable<R> spectrum;  // sum_i c_i exp(2 pi i ik / M) / M at k < M = a b
  int64_t bytes;          // of these tables
};

// The plan of a length with a split. Thread-safe; plans are kept for later calls.
template <class R>
std::shared_ptr<const SplitPlan<R>> split_plan(int64_t length);

extern template std::shared_ptr<const SplitPlan<float>> split_plan(int64_t);
extern template std::shared_ptr<const SplitPlan<double>> split_plan(int64_t);

}  // namespace fnet
