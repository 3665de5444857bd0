#include "cpu/scheme.h"

#include <algorithm>

#include "cpu/caches.h"
#include "cpu/line_shape.h"
#include "cpu/long_shape.h"
#include "cpu/real_line.h"

namespace fnet {
namespace {

double ceil_div(int64_t a, int64_t b) { return double((a + b - 1) / b); }

// Time per element of x in nanoseconds, measured with AVX-512 in float32 on one core of an EPYC.
// Other instruction sets and types take longer, but the ratios of the schemes are about the same.

// What Rader's and Bluestein's algorithms add for each number of a line. Costs are those of AVX2.
double convolutions_time(int64_t length) {
  constexpr int kPicoseconds = 1000, kLanes = 8;
  return has_factors(length) ? 0 : double(line_shape(length).cost) / (kPicoseconds * kLanes);
}

// Whether 2 W lines of real numbers exceed L2.
bool is_far(int64_t length, const MixArgs& args, int width) {
  return length * 2 * width * compute_size(args.dtype) > l2_bytes();
}

// A pass pays for all 2 W lines of its tiles, and more if a line does not fit in L2 or needs a
// convolution. Tiles wider than x are folded number by number.
double tiles_time(const MixArgs& args, int width) {
  const auto paid = [&](int64_t lines) {
    return ceil_div(lines, 2 * width) * 2 * width / double(lines);
  };
  const auto more = [&](int64_t length) {
    return (is_far(length, args, width) ? 0.8 : 0.0) + convolutions_time(length) / 2;
  };
  const double fold = args.hidden < 2 * width ? 1.5 : 0.45;
  return (fold + more(args.seq)) * paid(half_length(args.hidden)) +
         (0.3 + more(args.hidden)) * paid(half_length(args.seq)) + 0.2;
}

// A group takes as long as one sequence, and longer if it does not fit in L2.
double sequences_time(const MixArgs& args, const Kernels& kernels) {
  const int width = kernels.width(args.dtype);
  const int fine = kernels.lane_group(args.dtype, args.seq, args.hidden, Tiles::kFine).lanes;
  const double elements = double(args.seq) * double(args.hidden);
  const double fine_time = fine < width ? kHalfGroupTime : 1;
  const double groups = ceil_div(args.batch, fine);
  const bool real = has_real_line(args.seq, args.hidden);
  const double convolutions = real ? convolutions_time(args.hidden / 2) / 2
                                   : convolutions_time(args.seq) + convolutions_time(args.hidden);
  const bool far = is_far(args.seq * args.hidden, args, width);
  const double lane = (real ? 0.6 : 0.8) + elements / (1 << 17) + (far ? 2 : 1) * convolutions;
  const double paid = std::min(ceil_div(args.batch, width), fine_time * groups);
  const double time = lane * paid * width / double(args.batch);
  // Slots divide the groups. Few and large ones leave slots idle, which other schemes employ.
  const double wanted = std::min(64.0, double(args.batch) * elements / (1 << 16));
  return time * std::clamp(wanted / groups, 1.0, 4.0);
}

// Shorter lengths are not convolved in parts: the slots would wait longer than they work.
constexpr int64_t kLeastConvolved = 512;

// Two rows of the spectrum share a line. A single row pays for both.
double long_time(int64_t rows, double line) {
  return 0.6 + convolutions_time(rows) / 2 + line * double(paired_lines(rows)) / double(rows);
}

// A convolution transforms more than twice as many points, twice.
constexpr double kLine = 4.8, kConvolvedLine = 18;

// A first factor below W leaves lanes empty in half of the work.
double split_time(int64_t rows, Split split, int width) {
  const double factors = convolutions_time(split.a) + convolutions_time(split.b);
  const double lanes = (1 + std::max(1.0, width / double(split.a))) / 2;
  return long_time(rows, kLine + 2 * factors) * lanes;
}

}  // namespace

Scheme scheme_of(const MixArgs& args, const Kernels& kernels) {
  const int width = kernels.width(args.dtype);
  if (!has_line(args.seq)) return Scheme::kLongSeq;
  if (!has_line(args.hidden)) return Scheme::kLongHidden;
  const bool along_seq = args.seq > args.hidden;
  const double tiles = tiles_time(args, width), sequences = sequences_time(args, kernels);
  const double best = std::min(tiles, sequences);
  const int64_t length = std::max(args.seq, args.hidden), rows = std::min(args.seq, args.hidden);
  const auto is_long = [&] {
    const Split split = long_time(rows, kLine) < best ? split_of(length) : Split{};
    if (split.a > 0) return split_time(rows, split, width) < best;
    return length >= kLeastConvolved && can_be_convolved(length) &&
           long_time(rows, kConvolvedLine) < best;
  };
  if (is_long()) return along_seq ? Scheme::kLongSeq : Scheme::kLongHidden;
  return sequences < tiles ? Scheme::kSequences : Scheme::kTiles;
}

}  // namespace fnet
