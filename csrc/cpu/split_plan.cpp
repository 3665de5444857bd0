#include "cpu/split_plan.h"

#include <algorithm>
#include <cmath>

#include "cpu/line_shape.h"
#include "cpu/plan_cache.h"
#include "cpu/twiddle.h"

namespace fnet {
namespace {

// A table takes as much memory as a line. Longer lengths are not worth it.
constexpr int64_t kMaxSplit = 1 << 22;
// Multiples of a vector do not waste lanes. The second factor fills at least one.
constexpr int64_t kVector = 16, kSmallest = 4;

template <class R>
std::shared_ptr<const SplitPlan<R>> make_plan(int64_t length) {
  auto plan = std::make_shared<SplitPlan<R>>();
  const auto [a, b] = plan->split = split_of(length);
  plan->first = line_plan<R>(a), plan->second = line_plan<R>(b);
  for (int64_t q = 0; q < a; ++q)
    for (int64_t j = 0; j < b; ++j) {
      const Complex<R> w = unit_root<R>(q * j, length);
      plan->re.push_back(w.re), plan->im.push_back(w.im);
    }
  return plan;
}

template <class R>
PlanCache<SplitPlan<R>>& cached_plans() {
  static PlanCache<SplitPlan<R>> cache;
  return cache;
}

}  // namespace

Split split_of(int64_t length) {
  Split best;
  if (length > kMaxSplit) return best;
  constexpr double kWaste = 1.2;
  double cost = 0;
  for (int64_t a = int64_t(std::sqrt(double(length))); a >= kSmallest; --a) {
    const int64_t b = length / a;
    if (b < kVector) break;
    if (best.a != 0 && double(b) > cost) break;  // the remaining ones are less balanced
    if (length % a != 0 || !has_line(a) || !has_line(b)) continue;
    const double waste = (a % kVector ? kWaste : 1) * (b % kVector ? kWaste : 1);
    if (best.a == 0 || waste * double(b) < cost) best = {a, b}, cost = waste * double(b);
  }
  return best;
}

LongShape long_shape(const MixArgs& args, bool along_seq, int width) {
  const int64_t length = along_seq ? args.seq : args.hidden;
  return {along_seq ? args.hidden : args.seq, length, along_seq, split_of(length), width};
}

int64_t line_places(const LongShape& shape) {
  const int64_t row = (shape.length + 2 * shape.width - 1) / (2 * shape.width);
  return std::max(
      {line_extent(shape.small), line_extent(shape.split.a), line_extent(shape.split.b), row});
}

template <class R>
std::shared_ptr<const SplitPlan<R>> split_plan(int64_t length) {
  return cached_plans<R>().get(length, [&] { return make_plan<R>(length); });
}

void clear_split_plans() {
  cached_plans<float>().clear();
  cached_plans<double>().clear();
}

template std::shared_ptr<const SplitPlan<float>> split_plan(int64_t);
template std::shared_ptr<const SplitPlan<double>> split_plan(int64_t);

}  // namespace fnet
