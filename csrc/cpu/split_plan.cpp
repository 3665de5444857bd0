#include "cpu/split_plan.h"

#include <algorithm>
#include <cmath>

#include "cpu/chirp.h"
#include "cpu/line_shape.h"

namespace fnet {
namespace {

// Multiples of a vector do not waste lanes. The second factor fills at least one.
constexpr int64_t kVector = 16, kSmallest = 4;

// The split of a length that has one: its own, or that of a convolution.
Split any_split_of(int64_t length) {
  const Split own = split_of(length);
  return own.points() > 0 ? own : convolved_split_of(length);
}

template <class R>
std::shared_ptr<const SplitPlan<R>> make_plan(int64_t length) {
  auto plan = std::make_shared<SplitPlan<R>>();
  const auto [a, b] = plan->split = any_split_of(length);
  plan->first = line_plan<R>(a), plan->second = line_plan<R>(b);
  const std::vector<Complex<Wide<R>>> roots = wide_roots<Wide<R>>(a * b);
  plan->twiddles.reserve(a * b);
  for (int64_t q = 0; q < a; ++q)
    for (int64_t j = 0; j < b; ++j) plan->twiddles.add(roots[q * j]);
  plan->bytes = plan->twiddles.bytes();
  if (a * b == length) return plan;
  // One output more than the length has is the mirror of output 0, so c has 2 length numbers.
  const std::vector<Complex<Wide<R>>> c = chirp<Wide<R>>(length, 2 * length, a * b);
  plan->chirp.reserve(length + 1), plan->spectrum.reserve(a * b);
  for (int64_t n = 0; n <= length; ++n) plan->chirp.add(conj(c[n]));
  for (const Complex<Wide<R>> value : convolution_spectrum(c, roots)) plan->spectrum.add(value);
  plan->bytes += plan->chirp.bytes() + plan->spectrum.bytes();
  return plan;
}

template <class R>
auto& cached_plans = *new PlanCache<SplitPlan<R>>;

}  // namespace

Split split_of(int64_t length) {
  Split best;
  if (length > kMaxLength) return best;
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

Split convolved_split_of(int64_t length) {
  Split best;
  double cost = 0;
  const auto next = [](int64_t n) {  // a multiple of vectors that consists of radices
    n = (n + kVector - 1) / kVector * kVector;
    while (!has_factors(n)) n += kVector;
    return n;
  };
  const int64_t most = int64_t(std::sqrt(double(2 * length)));
  for (int64_t a = next(most / 2); best.a == 0 || a <= most; a = next(a + 1)) {
    const int64_t b = next((2 * length + a - 1) / a);
    const double time = double(a * b) * double(line_shape(a).cost + line_shape(b).cost);
    if (best.a == 0 || time < cost) best = {a, b}, cost = time;
  }
  return best;
}

LongShape long_shape(const MixArgs& args, bool along_seq, int width) {
  const int64_t length = along_seq ? args.seq : args.hidden;
  return {along_seq ? args.hidden : args.seq, length, along_seq, any_split_of(length), width};
}

int64_t line_places(const LongShape& shape) {
  const int64_t row =
      shape.along_seq ? 0 : (shape.length + 2 * shape.width - 1) / (2 * shape.width);
  const int64_t over_j = line_extent(shape.split.b) * (shape.is_convolved() ? 2 : 1);
  return std::max({line_extent(shape.small), line_extent(shape.split.a), over_j, row});
}

template <class R>
std::shared_ptr<const SplitPlan<R>> split_plan(int64_t length) {
  return cached_plans<R>.get(length, [&] { return make_plan<R>(length); });
}

void clear_split_plans() {
  cached_plans<float>.clear();
  cached_plans<double>.clear();
}

template std::shared_ptr<const SplitPlan<float>> split_plan(int64_t);
template std::shared_ptr<const SplitPlan<double>> split_plan(int64_t);

}  // namespace fnet
