// The plan of a call on the CPU: its path and the layout of its workspace.
#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/line_shape.h"
#include "cpu/long_shape.h"
#include "cpu/scheme.h"
#include "cpu/share.h"
#include "cpu/spectrum.h"
#include "cpu/workspace.h"

namespace fnet {
namespace {

Reason reason_of(const MixArgs& args) {
  if (!has_valid_sizes(args)) return Reason::kSizes;
  if (args.transform != Transform::kFourier) return Reason::kTransform;
  const bool seq = has_line(args.seq), hidden = has_line(args.hidden);
  if (seq && (hidden || has_parts(args.hidden))) return Reason::kNone;
  if (hidden && has_parts(args.seq)) return Reason::kNone;
  return seq ? Reason::kHidden : hidden ? Reason::kSeq : Reason::kSeqAndHidden;
}

// The extra memory that a call may take beside weight, bias and the alignment of the workspace.
int64_t extra_memory(const MixArgs& args) {
  const int64_t row = args.hidden * compute_size(args.dtype);
  return memory_limit(args.batch * args.seq * row, args.batch == 1) - 2 * align_workspace(row) -
         2 * kWorkspaceAlign;
}

// The scratch of a slot that runs both passes of whole sequences.
int64_t whole_scratch_bytes(const MixArgs& args, const Kernels& kernels) {
  const auto bytes = [&](PassOf pass) {
    return pass(args.dtype, args.seq, args.hidden, Tiles::kWhole).scratch_bytes;
  };
  return std::max(bytes(kernels.seq_pass), bytes(kernels.row_pass));
}

// Whether each slot transforms whole sequences, with its own spectrum, instead of sharing all
// sequences with the other slots. Private spectra spare cores the wait for each other's writes,
// which costs half as much time again on cores that share no cache. A small spectrum also stays in
// the core's L2 between the passes. A private spectrum is as large as half a sequence. Large
// spectra require two sequences per slot, which limits all spectra to half of x. Private spectra
// may take 0.62 times x. Two slots may take more: they have too few tiles to share short sequences
// evenly.
bool has_private_spectra(const MixArgs& args, int slots, int64_t spectrum_bytes,
                         const Kernels& kernels) {
  constexpr int64_t kSmall = 2 << 20;
  if (args.batch < (spectrum_bytes <= kSmall ? slots : 2 * slots)) return false;
  return slots <= 2 ||
         slots * (spectrum_bytes + whole_scratch_bytes(args, kernels)) <= extra_memory(args);
}

// The elements that a slot transforms while the others wait for the end of a round.
constexpr double kRoundElements = 1 << 13;

// `halves`: the row pass takes two rounds, half of the sequences each.
struct Team {
  int64_t sequences, scratch_bytes;
  bool halves;
};

// How many sequences all slots share at a time: at least half of a batch that is smaller than the
// number of slots, so that a call has at most four rounds, if the spectra leave a quarter of the
// memory. More of them divide better, but their spectra leave less memory for the scratch of the
// slots and do not stay in the caches: they must save a tenth. If all sequences are shared at once,
// the row pass of the first half may have its scratch in y of the second half, and then that of the
// second half in the spectra of the first one.
Team plan_team(const MixArgs& args, int slots, int64_t spectrum_bytes, const Kernels& kernels) {
  const double elements = double(args.seq * args.hidden);
  const int64_t memory = extra_memory(args);
  const int64_t most = std::max<int64_t>(1, memory / 4 * 3 / spectrum_bytes);
  const int64_t least = args.batch < slots ? std::clamp<int64_t>((args.batch + 1) / 2, 1, most) : 1;
  const int64_t slot_bytes = whole_scratch_bytes(args, kernels);
  Team best{};
  double best_time = 0;
  for (int64_t n = least; n <= args.batch; ++n) {
    const int64_t groups = (args.batch + n - 1) / n, scratch = memory - n * spectrum_bytes;
    if (n > least && (args.batch + groups - 1) / groups < n) continue;  // fewer in as many groups
    if (n > least && scratch <= 0) break;
    const auto share = [&](PassOf pass, int64_t sequences, int64_t lent) {
      return share_pass(pass, args, sequences, slots, {scratch, lent});
    };
    const auto consider = [&](double passes, int rounds, Team team) {
      double time = double(groups) * (passes + rounds * kRoundElements / elements);
      if (n == least) time *= 0.9;
      if (best_time > 0 && time >= best_time) return;
      best_time = time;
      best = team;
    };
    const PassShare seq = share(kernels.seq_pass, n, lent_by_y(kernels, args, n));
    const PassShare row = share(kernels.row_pass, n, 0);
    consider(seq.time + row.time, 2, {n, std::max(seq.own_bytes(), row.own_bytes()), false});
    if (n < args.batch || n < 2 || lent_by_y(kernels, args, 1) == 0 || scratch < slot_bytes)
      continue;
    const int64_t second = n / 2, first = n - second;
    const PassShare row1 = share(kernels.row_pass, first, lent_by_y(kernels, args, second));
    const PassShare row2 = share(kernels.row_pass, second, first * spectrum_bytes);
    const int64_t own = std::max({seq.own_bytes(), row1.own_bytes(), row2.own_bytes(), slot_bytes});
    consider(seq.time + row1.time + row2.time, 3, {n, own, true});
  }
  return best;
}

// As many slots as have pieces of work, and scratch within the extra memory that the spectra leave.
int workers_of(const MixArgs& args, int slots, int64_t pieces, int64_t scratch, int64_t spectra) {
  const int64_t memory = (extra_memory(args) - spectra) / scratch;
  return int(std::max<int64_t>(1, std::min({memory, int64_t(slots), pieces})));
}

// The sizes of plan.scheme: groups, workers, spectra and scratch.
void size_tiles(const MixArgs& args, CpuPlan& plan) {
  const Kernels& kernels = *plan.kernels;
  const SpectrumLayout spectrum{args.seq, args.hidden, kernels.width(args.dtype)};
  plan.group = 1;
  plan.workers = plan.slots;
  plan.spectrum_bytes = align_workspace(spectrum.size() * compute_size(args.dtype));
  plan.private_spectra = has_private_spectra(args, plan.slots, plan.spectrum_bytes, kernels);
  if (plan.private_spectra) {
    plan.sequences = plan.slots;
    plan.scratch_bytes = plan.slots * whole_scratch_bytes(args, kernels);
  } else {
    const Team team = plan_team(args, plan.slots, plan.spectrum_bytes, kernels);
    plan.sequences = int(team.sequences);
    plan.scratch_bytes = team.scratch_bytes;
    plan.halves = team.halves;
  }
}

// How the slots share sequences in lanes, and the time of the slot with the most groups. The unit
// is one group of whole vectors.
struct LaneShare {
  LaneGroup group;
  int workers;
  double time;
};

LaneShare share_lanes(const MixArgs& args, const CpuPlan& plan, Tiles tiles) {
  const LaneGroup group = plan.kernels->lane_group(args.dtype, args.seq, args.hidden, tiles);
  const int64_t groups = (args.batch + group.lanes - 1) / group.lanes;
  // Two slots get scratch for a fine group each, whatever the limit.
  const int64_t least = tiles == Tiles::kFine ? std::min<int64_t>({groups, plan.slots, 2}) : 1;
  const int workers =
      std::max(int(least), workers_of(args, plan.slots, groups, group.scratch_bytes, 0));
  const double most = double((groups + workers - 1) / workers);
  const bool halved = group.lanes < plan.kernels->width(args.dtype);
  return {group, workers, halved ? kHalfGroupTime * most : most};
}

void size_lanes(const MixArgs& args, CpuPlan& plan) {
  const LaneShare whole = share_lanes(args, plan, Tiles::kWhole);
  const LaneShare fine = share_lanes(args, plan, Tiles::kFine);
  const LaneShare& share = fine.time < whole.time ? fine : whole;
  plan.group = share.group.lanes;
  plan.workers = share.workers;
  plan.sequences = plan.workers * plan.group;
  plan.scratch_bytes = plan.workers * share.group.scratch_bytes;
}

void size_long(const MixArgs& args, CpuPlan& plan) {
  constexpr int64_t kElements = 1 << 18;  // of x in a group that all slots share
  const LongShape shape =
      long_shape(args, plan.scheme == Scheme::kLongSeq, plan.kernels->width(args.dtype));
  const int64_t scratch = plan.kernels->long_bytes(args.dtype, shape, line_places(shape));
  plan.spectrum_bytes = align_workspace(shape.numbers() * compute_size(args.dtype));
  const int64_t fitting = std::min(kElements / (args.seq * args.hidden), args.batch);
  plan.group = int(std::max<int64_t>(1, fitting));
  int64_t pieces = 0;
  for (const LongPhase phase : shape.phases())
    pieces = std::max(pieces, plan.group * shape.pieces(phase));
  const int64_t spectra = plan.group * plan.spectrum_bytes;
  plan.workers =
      std::max(std::min(plan.slots, 2), workers_of(args, plan.slots, pieces, scratch, spectra));
  plan.sequences = plan.group;
  plan.scratch_bytes = plan.workers * scratch;
}

}  // namespace

CpuPlan plan_cpu(const MixArgs& args, int slots, const Kernels& kernels, const PlanChoice& choice) {
  CpuPlan plan{};
  plan.reason = reason_of(args);
  if (plan.reason == Reason::kNone && choice.general) plan.reason = Reason::kForced;
  plan.path = plan.reason == Reason::kNone ? Path::kKernels : Path::kGeneral;
  plan.kernels = &kernels;
  plan.slots = slots;
  if (plan.reason == Reason::kSizes) return plan;
  if (plan.path == Path::kGeneral) {
    plan.group = 1;
    plan.workers = slots;
    plan.sequences = int(std::min<int64_t>(args.batch, slots));
    plan.scratch_bytes = slots * kernels.spectrum_rows_bytes(args.dtype, args.hidden);
  } else {
    plan.scheme = scheme_of(args, kernels);
    if (choice.scheme && has_line(args.seq) && has_line(args.hidden)) plan.scheme = *choice.scheme;
    switch (plan.scheme) {
      case Scheme::kTiles: size_tiles(args, plan); break;
      case Scheme::kSequences: size_lanes(args, plan); break;
      default: size_long(args, plan);
    }
  }

  Layout layout;
  const int64_t row = args.hidden * compute_size(args.dtype);
  plan.weight = layout.take(row);
  plan.bias = layout.take(row);
  plan.zeros = layout.take(args.present_rows() < args.seq ? row : 0);
  plan.scratch = layout.take(plan.scratch_bytes);
  plan.spectrum = layout.take(plan.sequences * plan.spectrum_bytes);
  plan.workspace_bytes = layout.bytes();
  return plan;
}

}  // namespace fnet
