// The tables of a long length that is transformed in four steps; see long_shape.h.
#pragma once

#include <memory>
#include <vector>

#include "cpu/line_plan.h"
#include "cpu/long_shape.h"

namespace fnet {

template <class R>
struct SplitPlan {
  Split split;
  std::shared_ptr<const LinePlan<R>> first, second;  // of a and b points
  std::vector<R> re, im;  // exp(-2 pi i qj / L) at [q b + j], q < a, j < b
};

// The plan of a length that has a split. Thread-safe; plans are kept for later calls.
template <class R>
std::shared_ptr<const SplitPlan<R>> split_plan(int64_t length);

extern template std::shared_ptr<const SplitPlan<float>> split_plan(int64_t);
extern template std::shared_ptr<const SplitPlan<double>> split_plan(int64_t);

}  // namespace fnet
