#include "cpu/line_plan.h"

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
  std::vector<int32_t> entry_storage, position_storage;
  Convolution<R> convolution;
};

template <class R>
std::shared_ptr<const LinePlan<R>> make_plan(int64_t length, const LineShape& shape, bool padded);

// The places of the points of a convolution, which it fills in. Only the stage that begins a line
// has room for padding.
template <class R>
std::vector<int32_t> make_convolution(const ConvolutionShape& shape, bool padded,
                                      Convolution<R>& to) {
  const int64_t p = shape.points, M = shape.length;
  to.points = p;
  std::vector<int32_t> place(p);
  std::vector<LongComplex> c(M);
  if (shape.is_rader()) {
    to.inner = make_plan<R>(M, rader_inner_shape(M), padded);
    const std::vector<int64_t> power = primitive_powers(p);
    for (int64_t q = 0; q < M; ++q) {
      c[q] = unit_root<long double>(power[q], p);
      place[power[q]] = 1 + to.inner->entry[q];
    }
  } else {
    to.inner = make_plan<R>(M, line_shape(M), true);
    for (int64_t i = 0; i < 2 * p - 1; ++i) c[i] = unit_root<long double>(i * i % (2 * p), 2 * p);
    for (int64_t n = 0; n < p; ++n) {
      place[n] = int32_t(n);
      to.chirp.push_back({R(c[n].re), R(-c[n].im)});
    }
  }
  const std::vector<LongComplex> spectrum = long_dft(c);
  to.spectrum.resize(to.inner->extent);
  for (int64_t k = 0; k < M; ++k) {
    const LongComplex value = spectrum[mirror(k, M)];
    to.spectrum[to.inner->position[k]] = {R(value.re / M), R(value.im / M)};
  }
  return place;
}

template <class R>
std::shared_ptr<const LinePlan<R>> make_plan(int64_t length, const LineShape& shape, bool padded) {
  auto plan = std::make_shared<OwnedPlan<R>>();
  const Factors& factors = shape.factors;
  const bool convolves = shape.convolution.points > 0;
  std::vector<int32_t> place{0};  // of the points of the convolution
  if (convolves)
    place = make_convolution(shape.convolution, padded && factors.count == 0, plan->convolution);
  const int64_t p = int64_t(place.size());

  std::vector<int64_t> point(p);  // the inverse, of a convolution after other stages
  if (factors.count > 0)
    for (int64_t n = 0; n < p; ++n) point[place[n]] = n;

  int64_t points = length;
  for (int s = 0; s < factors.count; ++s) {
    const int radix = factors.radix[s];
    const int64_t rest = points / radix;
    auto& twiddles = plan->twiddle_storage.emplace_back();
    if (rest > 1)
      for (int64_t i = 0; i < rest; ++i)
        for (int q = 1; q < radix; ++q)
          twiddles.push_back(unit_root<R>((i / p * p + point[i % p]) * q, points));
    const int64_t stride = padded && s == 0 && rest > 1 ? rest + 1 : rest;
    plan->stages_storage.push_back({radix, rest, stride, twiddles.data(), nullptr});
    points = rest;
  }
  if (convolves) plan->stages_storage.push_back({int(p), 1, 1, nullptr, &plan->convolution});

  const Stage<R>& outer = plan->stages_storage[0];
  for (int64_t n = 0; n < length; ++n) {
    const int64_t rest = outer.convolution ? length : outer.rest, j = n % rest;
    plan->entry_storage.push_back(int32_t(n / rest * outer.stride + j / p * p + place[j % p]));
  }

  // Output k = q + radix k' is output k' of the q-th sub-line, which starts at q stride.
  plan->position_storage.resize(length);
  for (int64_t k = 0; k < length; ++k) {
    int64_t digits = k, position = 0;
    for (int s = 0; s < factors.count; ++s) {
      const auto& stage = plan->stages_storage[s];
      position += digits % stage.radix * stage.stride;
      digits /= stage.radix;
    }
    plan->position_storage[k] = int32_t(position + place[digits]);
  }
  plan->position_storage.push_back(plan->position_storage[0]);  // -0

  plan->length = length;
  plan->extent = padded_line(length);
  if (convolves && !shape.convolution.is_rader())
    plan->extent += padded_line(shape.convolution.length);
  plan->stages = int(plan->stages_storage.size());
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
