#include "cpu/line_plan.h"

#include <memory>
#include <mutex>
#include <unordered_map>

#include "cpu/long_dft.h"
#include "cpu/primitive_root.h"
#include "fft/mirror.h"

namespace fnet {
namespace {

// A plan that owns the memory its pointers refer to.
template <class R>
struct OwnedPlan : LinePlan<R> {
  std::vector<Stage<R>> stages_storage;
  std::vector<std::vector<Complex<R>>> twiddle_storage;
  std::vector<std::unique_ptr<Convolution<R>>> convolution_storage;
  std::vector<int32_t> entry_storage, position_storage;
};

template <class R>
std::shared_ptr<const LinePlan<R>> make_plan(int64_t length, const LineShape& shape, bool padded);

template <class R>
std::unique_ptr<Convolution<R>> make_convolution(const StageShape& shape, bool padded) {
  auto made = std::make_unique<Convolution<R>>();
  const int64_t p = shape.points, M = shape.convolution;
  made->place.resize(p);
  std::vector<LongComplex> c(M);
  if (shape.is_bluestein()) {
    made->inner = make_plan<R>(M, line_shape(M), true);
    for (int64_t i = 0; i < 2 * p - 1; ++i) c[i] = unit_root<long double>(i * i % (2 * p), 2 * p);
    for (int64_t n = 0; n < p; ++n) {
      made->place[n] = int32_t(n);
      made->chirp.push_back({R(c[n].re), R(-c[n].im)});
    }
  } else {
    made->inner = make_plan<R>(M, rader_shape(M), padded);
    const std::vector<int64_t> power = primitive_powers(p);
    for (int64_t q = 0; q < M; ++q) {
      made->place[power[q]] = 1 + made->inner->entry[q];
      c[q] = unit_root<long double>(power[q], p);
    }
  }
  const std::vector<LongComplex> spectrum = long_dft(c);
  made->spectrum.resize(made->inner->extent);
  for (int64_t k = 0; k < M; ++k) {
    const LongComplex value = spectrum[mirror(k, M)];
    made->spectrum[made->inner->position[k]] = {R(value.re / M), R(value.im / M)};
  }
  return made;
}

template <class R>
std::shared_ptr<const LinePlan<R>> make_plan(int64_t length, const LineShape& shape, bool padded) {
  auto plan = std::make_shared<OwnedPlan<R>>();
  const int last = shape.count - 1;
  // Only a convolution that is the whole line or has a buffer can be padded.
  for (int s = 0; s <= last; ++s)
    plan->convolution_storage.push_back(
        shape.stage[s].convolution
            ? make_convolution<R>(shape.stage[s], s < last || (last == 0 && padded))
            : nullptr);

  // The places of the p points that the last stage transforms, and their inverse.
  const int64_t p = shape.stage[last].points;
  std::vector<int32_t> place(p), point(padded_line(p));
  for (int64_t n = 0; n < p; ++n) {
    const auto& convolution = plan->convolution_storage[last];
    place[n] = convolution ? convolution->place[n] : int32_t(n);
    point[place[n]] = int32_t(n);
  }

  int64_t points = length;
  for (int s = 0; s <= last; ++s) {
    const int64_t radix = shape.stage[s].points, rest = points / radix;
    auto& twiddles = plan->twiddle_storage.emplace_back();
    for (int64_t i = 0; i < rest && s < last; ++i)
      for (int64_t q = 1; q < radix; ++q)
        twiddles.push_back(unit_root<R>((i / p * p + point[i % p]) * q, points));
    const Convolution<R>* convolution = plan->convolution_storage[s].get();
    const int64_t stride = padded && s == 0 && rest > 1 && !convolution ? rest + 1 : rest;
    plan->stages_storage.push_back({int(radix), rest, stride, twiddles.data(), convolution});
    points = rest;
  }

  // Input n = q rest + j is input j of the q-th sub-line of the first stage, and output
  // k = q + radix k' is output k' of the q-th sub-line.
  plan->entry_storage.resize(length);
  plan->position_storage.resize(length);
  const Stage<R>& outer = plan->stages_storage[0];
  for (int64_t n = 0; n < length; ++n) {
    const int64_t rest = last == 0 ? length : outer.rest, j = n % rest;
    plan->entry_storage[n] = int32_t(n / rest * outer.stride + j / p * p + place[j % p]);
    int64_t digits = n, position = 0;
    for (int s = 0; s < last; ++s) {
      const Stage<R>& stage = plan->stages_storage[s];
      position += digits % stage.radix * stage.stride;
      digits /= stage.radix;
    }
    plan->position_storage[n] = int32_t(position + place[digits]);
  }
  plan->position_storage.push_back(plan->position_storage[0]);  // -0

  plan->length = length;
  plan->extent = padded_line(length) + shape.buffer;
  plan->stages = shape.count;
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
  const auto made = make_plan<R>(length, line_shape(length),
                                 true);  // without the lock, which other lengths may need
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
