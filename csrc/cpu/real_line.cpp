#include "cpu/real_line.h"

#include "cpu/api.h"
#include "cpu/plan_cache.h"
#include "cpu/twiddle.h"

namespace fnet {
namespace {

template <class R>
std::shared_ptr<const RealLinePlan<R>> make_plan(int64_t length) {
  auto plan = std::make_shared<RealLinePlan<R>>();
  plan->half = line_plan<R>(length / 2);
  plan->twiddles.reserve(length / 2);
  for (int64_t l = 0; l < length / 2; ++l) plan->twiddles.push_back(unit_root<R>(l, length));
  plan->bytes = bytes_of(plan->twiddles) + plan->half->bytes;
  return plan;
}

template <class R>
auto& cached_plans = *new PlanCache<RealLinePlan<R>>;

}  // namespace

void clear_real_line_plans() {
  cached_plans<float>.clear();
  cached_plans<double>.clear();
}

template <class R>
std::shared_ptr<const RealLinePlan<R>> real_line_plan(int64_t length) {
  return cached_plans<R>.get(length, [&] { return make_plan<R>(length); });
}

template std::shared_ptr<const RealLinePlan<float>> real_line_plan(int64_t);
template std::shared_ptr<const RealLinePlan<double>> real_line_plan(int64_t);

}  // namespace fnet
