#include "cpu/line_plan.h"

#include <memory>
#include <numeric>

#include "cpu/chirp.h"
#include "cpu/plan_cache.h"
#include "cpu/primitive_root.h"

namespace fnet {
namespace {

// A plan that owns the memory its pointers refer to.
template <class R>
struct OwnedPlan : LinePlan<R> {
  std::vector<Stage<R>> stages_storage;
  std::vector<std::vector<Complex<R>>> twiddle_storage;
  std::vector<std::unique_ptr<PrimeStage<R>>> prime_storage;
  std::vector<int32_t> entry_storage, position_storage;
};

template <class R>
std::shared_ptr<const LinePlan<R>> make_plan(int64_t length, const LineShape& shape, bool padded);

// c of the convolution. Sets the places of the points.
template <class R>
std::vector<Complex<Wide<R>>> rader(int64_t p, PrimeStage<R>& stage) {
  const std::vector<int64_t> power = primitive_powers(p);
  std::vector<Complex<Wide<R>>> c(p - 1);
  for (int64_t q = 0; q < p - 1; ++q) {
    stage.place[power[q]] = 1 + stage.inner->entry[q];
    c[q] = wide_root<Wide<R>>(power[q], p);
  }
  return c;
}

// c of the convolution. Sets the chirp.
template <class R>
std::vector<Complex<Wide<R>>> bluestein(int64_t p, PrimeStage<R>& stage) {
  std::vector<Complex<Wide<R>>> c = chirp<Wide<R>>(p, 2 * p - 1, stage.inner->length);
  for (int64_t n = 0; n < p; ++n) stage.chirp.push_back(rounded<R>(conj(c[n])));
  return c;
}

template <class R>
std::unique_ptr<PrimeStage<R>> make_prime_stage(const StageShape& shape, bool padded) {
  auto stage = std::make_unique<PrimeStage<R>>();
  const int64_t p = shape.points, M = shape.convolution, h = (p - 1) / 2;
  stage->algorithm = shape.algorithm;
  stage->place.resize(p);
  std::iota(stage->place.begin(), stage->place.end(), 0);
  if (shape.algorithm == Algorithm::kDirect) {
    for (int64_t ik = h; ik < h * (h + 1); ++ik) {
      const Complex<R> root = unit_root<R>((ik % h + 1) * (ik / h) % p, p);
      stage->roots.push_back({root.re, -root.im});
    }
    return stage;
  }
  const bool is_rader = shape.algorithm == Algorithm::kRader;
  stage->inner =
      is_rader ? make_plan<R>(M, rader_shape(M), padded) : make_plan<R>(M, line_shape(M), true);
  const auto spectrum = convolution_spectrum(is_rader ? rader(p, *stage) : bluestein(p, *stage),
                                             wide_roots<Wide<R>>(M));
  stage->spectrum.resize(stage->inner->extent);
  for (int64_t k = 0; k < M; ++k)
    stage->spectrum[stage->inner->position[k]] = rounded<R>(spectrum[k]);
  return stage;
}

template <class R>
std::shared_ptr<const LinePlan<R>> make_plan(int64_t length, const LineShape& shape, bool padded) {
  auto plan = std::make_shared<OwnedPlan<R>>();
  const int last = shape.count - 1;
  // Only a convolution that is the whole line or has a buffer can be padded.
  for (int s = 0; s <= last; ++s)
    plan->prime_storage.push_back(
        shape.stage[s].algorithm == Algorithm::kButterfly
            ? nullptr
            : make_prime_stage<R>(shape.stage[s], s < last || (last == 0 && padded)));

  // The places of the p points that the last stage transforms, and their inverse.
  const int64_t p = shape.stage[last].points;
  std::vector<int32_t> place(p), point(padded_line(p));
  for (int64_t n = 0; n < p; ++n) {
    const auto& prime = plan->prime_storage[last];
    place[n] = prime ? prime->place[n] : int32_t(n);
    point[place[n]] = int32_t(n);
  }

  int64_t points = length;
  for (int s = 0; s <= last; ++s) {
    const int64_t radix = shape.stage[s].points, rest = points / radix;
    auto& twiddles = plan->twiddle_storage.emplace_back();
    if (s < last) twiddles.reserve(rest * (radix - 1));
    for (int64_t i = 0; i < rest && s < last; ++i)
      for (int64_t q = 1; q < radix; ++q)
        twiddles.push_back(unit_root<R>((i / p * p + point[i % p]) * q, points));
    const PrimeStage<R>* prime = plan->prime_storage[s].get();
    const int64_t stride = padded && s == 0 && rest > 1 && !prime ? rest + 1 : rest;
    plan->stages_storage.push_back({int(radix), rest, stride, twiddles.data(), prime});
    points = rest;
  }

  // Input n = q rest + j is input j of the q-th sub-line of the first stage, and output
  // k = q + radix k' is output k' of the q-th sub-line.
  plan->entry_storage.resize(length);
  plan->position_storage.resize(length + 1);
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
  plan->position_storage[length] = plan->position_storage[0];  // -0

  plan->bytes = bytes_of(plan->entry_storage, plan->position_storage);
  for (const auto& twiddles : plan->twiddle_storage) plan->bytes += bytes_of(twiddles);
  for (const auto& prime : plan->prime_storage) {
    if (!prime) continue;
    plan->bytes += bytes_of(prime->place, prime->roots, prime->spectrum, prime->chirp);
    if (prime->inner) plan->bytes += prime->inner->bytes;
  }
  plan->length = length;
  plan->extent = line_extent(length, shape);
  plan->stages = shape.count;
  plan->stage = plan->stages_storage.data();
  plan->entry = plan->entry_storage.data();
  plan->position = plan->position_storage.data();
  return plan;
}

template <class R>
auto& cached_plans = *new PlanCache<LinePlan<R>>;

}  // namespace

void clear_line_plans() {
  cached_plans<float>.clear();
  cached_plans<double>.clear();
}

template <class R>
std::shared_ptr<const LinePlan<R>> line_plan(int64_t length) {
  return cached_plans<R>.get(length,
                             [&] { return make_plan<R>(length, line_shape(length), true); });
}

template std::shared_ptr<const LinePlan<float>> line_plan(int64_t);
template std::shared_ptr<const LinePlan<double>> line_plan(int64_t);

}  // namespace fnet
