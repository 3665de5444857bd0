#include "cpu/line_plan.h"

#include <mutex>
#include <unordered_map>

#include "fft/twiddle.h"

namespace fnet {
namespace {

// A plan together with what its pointers point to.
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

  plan->length = length;
  plan->stages = factors.count;
  plan->stage = plan->stages_storage.data();
  plan->entry = plan->entry_storage.data();
  plan->position = plan->position_storage.data();
  return plan;
}

// Enough for every length a model meets; past it the cache starts anew, and plans in use live on.
constexpr size_t kMaxCachedPlans = 256;

}  // namespace

template <class R>
std::shared_ptr<const LinePlan<R>> line_plan(int64_t length) {
  static std::mutex mutex;
  static std::unordered_map<int64_t, std::shared_ptr<const LinePlan<R>>> plans;
  std::lock_guard<std::mutex> lock(mutex);
  auto found = plans.find(length);
  if (found != plans.end()) return found->second;
  if (plans.size() >= kMaxCachedPlans) plans.clear();
  return plans[length] = make_plan<R>(length);
}

template std::shared_ptr<const LinePlan<float>> line_plan(int64_t);
template std::shared_ptr<const LinePlan<double>> line_plan(int64_t);

}  // namespace fnet
