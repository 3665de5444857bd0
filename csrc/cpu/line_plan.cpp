#include "cpu/line_plan.h"

#include <mutex>
#include <unordered_map>

#include "cpu/twiddle.h"

namespace fnet {
namespace {

// A plan that owns the memory its pointers refer to.
template <class R>
struct OwnedPlan : LinePlan<R> {
  std::vector<Stage<R>> stages_storage;
  std::vector<std::vector<Complex<R>>> twiddle_storage;
  std::vector<int32_t> entry_storage, position_storage;
};

template <class R>
std::shared_ptr<const LinePlan<R>> make_plan(int64_t length) {
  auto plan = std::make_shared<OwnedPlan<R>>();
  const Factors factors = factorise(length);
  int64_t points = length;
  for (int s = 0; s < factors.count; ++s) {
    const int radix = factors.radix[s];
    const int64_t rest = points / radix;
    auto& twiddles = plan->twiddle_storage.emplace_back();
    if (rest > 1)
      for (int64_t j = 0; j < rest; ++j)
        for (int q = 1; q < radix; ++q) twiddles.push_back(unit_root<R>(j * q, points));
    const int64_t stride = s == 0 && rest > 1 ? rest + 1 : rest;
    plan->stages_storage.push_back({radix, rest, stride, twiddles.data()});
    points = rest;
  }

  const Stage<R>& outer = plan->stages_storage[0];
  for (int64_t n = 0; n < length; ++n)
    plan->entry_storage.push_back(int32_t(n / outer.rest * outer.stride + n % outer.rest));

  // Output k = q + radix k' is output k' of the q-th sub-line, which starts at q stride.
  plan->position_storage.resize(length);
  for (int64_t k = 0; k < length; ++k) {
    int64_t digits = k, position = 0;
    for (const auto& stage : plan->stages_storage) {
      position += digits % stage.radix * stage.stride;
      digits /= stage.radix;
    }
    plan->position_storage[k] = int32_t(position);
  }
  plan->position_storage.push_back(plan->position_storage[0]);  // -0

  plan->length = length;
  plan->stages = factors.count;
  plan->stage = plan->stages_storage.data();
  plan->entry = plan->entry_storage.data();
  plan->position = plan->position_storage.data();
  return plan;
}

// The cache holds plans of this many points in total, about 100 MB, more than any model uses. When
// full it is cleared; plans in use stay alive.
constexpr int64_t kMaxCachedPoints = 1 << 22;

template <class R>
struct PlanCache {
  std::mutex mutex;
  std::unordered_map<int64_t, std::shared_ptr<const LinePlan<R>>> plans;
  int64_t points = 0;
};

template <class R>
PlanCache<R>& cached_plans() {
  static PlanCache<R> cache;
  return cache;
}

template <class R>
void clear_plans() {
  PlanCache<R>& cache = cached_plans<R>();
  std::lock_guard<std::mutex> lock(cache.mutex);
  cache.plans.clear(), cache.points = 0;
}

}  // namespace

void clear_line_plans() {
  clear_plans<float>();
  clear_plans<double>();
}

template <class R>
std::shared_ptr<const LinePlan<R>> line_plan(int64_t length) {
  PlanCache<R>& cache = cached_plans<R>();
  {
    std::lock_guard<std::mutex> lock(cache.mutex);
    const auto found = cache.plans.find(length);
    if (found != cache.plans.end()) return found->second;
  }
  const auto made = make_plan<R>(length);  // without the lock, which other lengths may need
  if (length > kMaxCachedPoints) return made;
  std::lock_guard<std::mutex> lock(cache.mutex);
  if (cache.points + length > kMaxCachedPoints) cache.plans.clear(), cache.points = 0;
  const auto [place, is_new] = cache.plans.emplace(length, made);
  if (is_new) cache.points += length;
  return place->second;
}

template std::shared_ptr<const LinePlan<float>> line_plan(int64_t);
template std::shared_ptr<const LinePlan<double>> line_plan(int64_t);

}  // namespace fnet
