// The plan of a call on the CPU: its path and the layout of its workspace.
#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/line_shape.h"
#include "cpu/long_shape.h"
#include "cpu/scheme.h"
#include "cpu/spectrum.h"
#include "cpu/workspace.h"

namespace fnet {
namespace {

Reason reason_of(const MixArgs& args) {
  if (!has_valid_sizes(args)) return Reason::kSizes;
  if (args.transform != Transform::kFourier) return Reason::kTransform;
  const bool seq = has_line(args.seq), hidden = has_line(args.hidden);
  if (seq) return hidden ? Reason::kNone : Reason::kHidden;
  return hidden ? Reason::kSeq : Reason::kSeqAndHidden;
}

// Whether each slot transforms whole sequences, with its own spectrum, instead of sharing every
// sequence with the other slots. Private spectra spare cores the wait for each other's writes,
// which costs half as much time again on cores that share no cache. A small spectrum also stays in
// the core's L2 between the passes. A private spectrum is as large as half a sequence. Large
// spectra require two sequences per slot, which limits all spectra to half of x.
bool has_private_spectra(const MixArgs& args, int slots, int64_t spectrum_bytes) {
  constexpr int64_t kSmall = 2 << 20;
  return args.batch >= (spectrum_bytes <= kSmall ? slots : 2 * slots);
}

std::string stages_text(const LineShape& shape) {
  std::string text;
  for (int s = 0; s < shape.count; ++s) {
    const StageShape& stage = shape.stage[s];
    text += (s > 0 ? " * " : "") + std::to_string(stage.points);
    if (stage.algorithm == Algorithm::kDirect) text += " (direct)";
    if (stage.algorithm == Algorithm::kRader)
      text += " (Rader: " + stages_text(rader_shape(stage.convolution)) + ")";
    if (stage.algorithm == Algorithm::kBluestein)
      text += " (Bluestein: " + stages_text(line_shape(stage.convolution)) + ")";
  }
  return text;
}

// How many sequences are in progress, and their spectra.
void size_groups(const MixArgs& args, CpuPlan& plan) {
  constexpr int64_t kElements = 1 << 18;  // of x in a group that all slots share
  const int width = plan.kernels->width(args.dtype);
  int64_t numbers = 0;  // of a spectrum
  plan.group = 1;
  switch (plan.scheme) {
    case Scheme::kTiles: numbers = SpectrumLayout{args.seq, args.hidden, width}.size(); break;
    case Scheme::kSequences: plan.group = width; break;
    case Scheme::kLongSeq:
    case Scheme::kLongHidden:
      numbers = 2 * long_shape(args, plan.scheme == Scheme::kLongSeq, width).line_numbers();
      plan.group = int(std::clamp<int64_t>(kElements / (args.seq * args.hidden), 1, args.batch));
      break;
  }
  plan.spectrum_bytes = align_workspace(numbers * compute_size(args.dtype));
  plan.private_spectra =
      plan.scheme == Scheme::kSequences ||
      (plan.scheme == Scheme::kTiles && has_private_spectra(args, plan.slots, plan.spectrum_bytes));
}

// The scratch of a slot on the kernels' path.
int64_t scratch_of(const MixArgs& args, const CpuPlan& plan) {
  const Kernels& kernels = *plan.kernels;
  if (plan.scheme == Scheme::kTiles)
    return kernels.scratch_bytes(args.dtype, args.seq, args.hidden, true);
  if (plan.scheme == Scheme::kSequences)
    return kernels.sequences_bytes(args.dtype, args.seq, args.hidden);
  const LongShape shape =
      long_shape(args, plan.scheme == Scheme::kLongSeq, kernels.width(args.dtype));
  return kernels.long_bytes(args.dtype, shape, line_places(shape));
}

}  // namespace

CpuPlan plan_cpu(const MixArgs& args, int slots, const Kernels& kernels,
                 std::optional<Scheme> chosen) {
  CpuPlan plan{};
  plan.reason = reason_of(args);
  plan.path = plan.reason == Reason::kNone ? Path::kKernels : Path::kGeneral;
  plan.kernels = &kernels;
  plan.slots = slots;
  if (plan.reason == Reason::kSizes) return plan;
  const bool has_kernels = plan.path == Path::kKernels;
  if (has_kernels) plan.scheme = chosen ? *chosen : scheme_of(args, kernels.width(args.dtype));
  size_groups(args, plan);
  // At least the scratch of the general path, which a caller may take instead.
  const int64_t general = kernels.scratch_bytes(args.dtype, args.seq, args.hidden, false);
  plan.scratch_bytes = std::max(general, has_kernels ? scratch_of(args, plan) : 0);

  Layout layout;
  const int64_t row = args.hidden * compute_size(args.dtype);
  plan.weight = layout.take(row);
  plan.bias = layout.take(row);
  plan.scratch = layout.take(slots * plan.scratch_bytes);
  const int spectra = has_kernels ? plan.sequences() : 0;
  plan.spectrum = layout.take(spectra * plan.spectrum_bytes);
  plan.workspace_bytes = layout.bytes();
  return plan;
}

std::vector<int> cpu_radices(int64_t length) {
  std::vector<int> radices;
  if (!has_line(length)) return radices;
  const LineShape shape = line_shape(length);
  for (int s = 0; s < shape.count; ++s) radices.push_back(int(shape.stage[s].points));
  return radices;
}

std::string cpu_stages(int64_t length) {
  return has_line(length) ? stages_text(line_shape(length)) : std::string();
}

}  // namespace fnet
