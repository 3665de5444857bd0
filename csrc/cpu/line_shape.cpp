#include "cpu/line_shape.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "cpu/tables_lock.h"

namespace fnet {
namespace {

// Picoseconds per point that convolutions need beside their stages, in the unit of stage_cost():
// for the product of spectra, for Bluestein's chirps and zeros, and to gather and scatter the
// points of a stage that is not the last. Rader within Rader costs accuracy, too: it has twice as
// many roundings. A direct stage costs kDirectCost for each product of points; this favours it over
// Rader at 19 and 23, where it is more accurate.
constexpr int64_t kProductCost = 400, kChirpCost = 6000, kGatherCost = 1500, kNestedCost = 3000;
constexpr int64_t kDirectCost = 220, kMaxDirect = 64;

// The factor of n that the radices do not divide.
int64_t without_radices(int64_t n) {
  Radices::each([&](auto p) {
    if constexpr (is_prime(p))
      while (n % p == 0) n /= p;
  });
  return n;
}

void keep_cheaper(LineShape& best, const LineShape& other) {
  if (other.count > 0 && (best.count == 0 || other.cost < best.cost)) best = other;
}

LineShape direct_stage(int64_t points) {
  LineShape shape;
  if (points > kMaxDirect) return shape;
  shape.add({points, Algorithm::kDirect});
  shape.cost = kDirectCost * points;
  shape.buffer = padded_line(points);
  return shape;
}

LineShape rader_stage(int64_t prime) {
  const LineShape inner = rader_shape(prime - 1);
  LineShape shape;
  shape.add({prime, Algorithm::kRader, prime - 1});
  const bool is_nested = inner.stage[inner.count - 1].algorithm != Algorithm::kButterfly;
  shape.cost = 2 * inner.cost + kProductCost + (is_nested ? kNestedCost : 0);
  shape.buffer = inner.buffer;
  return shape;
}

// Of all lengths up to the next power of two, the cheapest.
LineShape bluestein_stage(int64_t points) {
  LineShape best;
  for (int64_t length = 2 * points - 1; length < 4 * points; ++length) {
    if (without_radices(length) > 1) continue;
    LineShape shape;
    shape.add({points, Algorithm::kBluestein, length});
    shape.cost = (2 * factorise(length).cost + kProductCost) * length / points + kChirpCost;
    shape.buffer = padded_line(length);
    keep_cheaper(best, shape);
  }
  return best;
}

// A stage for each prime factor of `rest`.
LineShape prime_stages(int64_t rest, bool with_bluestein) {
  LineShape shape;
  for (int64_t prime = 2; rest > 1; ++prime) {
    if (prime * prime > rest) prime = rest;
    for (; rest % prime == 0; rest /= prime) {
      LineShape stage = rader_stage(prime);
      keep_cheaper(stage, direct_stage(prime));
      if (with_bluestein) keep_cheaper(stage, bluestein_stage(prime));
      const bool is_last = rest == prime;
      shape.add(stage.stage[0]);
      shape.cost += stage.cost + (is_last ? 0 : kGatherCost);
      shape.buffer = std::max(shape.buffer, stage.buffer + (is_last ? 0 : padded_line(prime)));
    }
  }
  return shape;
}

LineShape find_shape(int64_t length, bool with_bluestein) {
  const int64_t rest = without_radices(length);
  LineShape shape;
  if (rest < length || length == 1) {
    const Factors factors = factorise(length / rest);
    for (int i = 0; i < factors.count; ++i) shape.add({factors.radix[i]});
    shape.cost = factors.cost;
  }
  if (rest == 1) return shape;
  LineShape last = prime_stages(rest, with_bluestein);
  if (with_bluestein) keep_cheaper(last, bluestein_stage(rest));
  for (int i = 0; i < last.count; ++i) shape.add(last.stage[i]);
  shape.cost += last.cost;
  shape.buffer = last.buffer;
  return shape;
}

constexpr size_t kMaxShapes = 1 << 12;
// The shapes that were found last. Never destroyed: detached threads may outlive main().
auto& kept_shapes = *new std::unordered_map<int64_t, LineShape>;

}  // namespace

bool has_line(int64_t length) {
  return length >= 1 && length <= kMaxLength && without_radices(length) <= kMaxConvolved;
}

LineShape line_shape(int64_t length) {
  {
    std::lock_guard<std::mutex> lock(tables_mutex);
    const auto found = kept_shapes.find(length);
    if (found != kept_shapes.end()) return found->second;
  }
  const LineShape found = find_shape(length, true);  // without the lock, for other lengths
  std::lock_guard<std::mutex> lock(tables_mutex);
  if (kept_shapes.size() >= kMaxShapes) kept_shapes.clear();
  kept_shapes.emplace(length, found);
  return found;
}

LineShape rader_shape(int64_t length) { return find_shape(length, false); }

int64_t line_extent(int64_t length) {
  return has_factors(length) ? line_extent(length, LineShape{})
                             : line_extent(length, line_shape(length));
}

}  // namespace fnet
