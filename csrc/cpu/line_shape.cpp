#include "cpu/line_shape.h"

#include <mutex>
#include <unordered_map>

namespace fnet {
namespace {

// Picoseconds per point of what a convolution does beside its stages: Rader's product, and
// Bluestein's product, chirps and zeros.
constexpr int64_t kProductCost = 400, kChirpCost = 6000;

// The factor of n that the radices do not divide.
int64_t without_radices(int64_t n) {
  Radices::each([&](auto p) {
    if constexpr (is_prime(p))
      while (n % p == 0) n /= p;
  });
  return n;
}

LineShape find_shape(int64_t length, bool with_bluestein);

// Rader needs a prime, whose predecessor may again need Rader.
LineShape rader(int64_t points) {
  LineShape shape;
  if (!is_prime(int(points))) return shape;
  const LineShape inner = find_shape(points - 1, false);
  if (inner.cost == 0) return shape;
  shape.convolution = {points, points - 1};
  shape.cost = 2 * inner.cost + kProductCost;
  return shape;
}

// The cheapest length from 2 points - 1 up to the next power of two.
LineShape bluestein(int64_t points) {
  LineShape shape;
  for (int64_t length = 2 * points - 1; length < 4 * points; ++length) {
    if (without_radices(length) > 1) continue;
    const int64_t stages = factorise(length).cost;
    const int64_t cost = (2 * stages + kProductCost) * length / points + kChirpCost;
    if (shape.cost == 0 || cost < shape.cost) {
      shape.convolution = {points, length};
      shape.cost = cost;
    }
  }
  return shape;
}

LineShape find_shape(int64_t length, bool with_bluestein) {
  const int64_t rest = without_radices(length);
  LineShape shape;
  if (rest > 1) {
    shape = rader(rest);
    if (with_bluestein) {
      const LineShape other = bluestein(rest);
      if (shape.cost == 0 || other.cost < shape.cost) shape = other;
    }
    if (shape.cost == 0) return shape;
  }
  if (rest < length || length == 1) shape.factors = factorise(length / rest);
  shape.cost += shape.factors.cost;
  return shape;
}

}  // namespace

bool has_line(int64_t length) {
  return length >= 1 && length <= kMaxLength && without_radices(length) <= kMaxConvolved;
}

LineShape line_shape(int64_t length) {
  constexpr size_t kMaxKept = 1 << 14;
  static std::mutex mutex;
  static std::unordered_map<int64_t, LineShape> shapes;
  std::lock_guard<std::mutex> lock(mutex);
  const auto found = shapes.find(length);
  if (found != shapes.end()) return found->second;
  if (shapes.size() >= kMaxKept) shapes.clear();
  return shapes[length] = find_shape(length, true);
}

LineShape rader_inner_shape(int64_t length) { return find_shape(length, false); }

int64_t line_extent(int64_t length) {
  if (has_factors(length)) return padded_line(length);
  const ConvolutionShape convolution = line_shape(length).convolution;
  return padded_line(length) + (convolution.is_rader() ? 0 : padded_line(convolution.length));
}

}  // namespace fnet
