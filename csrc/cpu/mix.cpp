// The mix on the CPU: both passes, and how slots share them.
#include <algorithm>
#include <memory>

#include "cpu/kernels.h"
#include "cpu/line_plan.h"
#include "cpu/split_plan.h"
#include "cpu/workspace.h"
#include "fft/mirror.h"

namespace fnet {
namespace {

// The plan, plans of lines and workspace that all sequences of a call share.
class Mix {
 public:
  Mix(const MixArgs& args, const CpuPlan& plan, void* workspace)
      : args_(args), plan_(plan), base_(aligned_base(workspace)) {
    if (args.dtype == DType::kFloat64)
      find_lines<double>();
    else
      find_lines<float>();
    task_ = {&args,           seq_line_.get(), hidden_line_.get(),
             at(plan.weight), at(plan.bias),   streams_output(args)};
    const int64_t tile = 2 * plan.kernels->width(args.dtype);
    seq_tiles_ = (half_length(args.hidden) + tile - 1) / tile;
    row_tiles_ = (half_length(args.seq) + tile - 1) / tile;
  }

  void widen_affine() {
    widen(args_.affine_dtype(), args_.weight, 1, args_.hidden, at(plan_.weight));
    widen(args_.affine_dtype(), args_.bias, 0, args_.hidden, at(plan_.bias));
  }

  // Both passes of sequences [begin, end), each sequence in one slot.
  void whole_sequences(int64_t begin, int64_t end, const Parallel& parallel) const {
    parallel_ranges(end - begin, parallel, [&](Range range, int slot) {
      void* spectrum = at(plan_.spectrum + slot * plan_.spectrum_bytes);
      for (int64_t b = begin + range.begin; b < begin + range.end; ++b) {
        plan_.kernels->seq_tiles(task_, b, spectrum, 0, seq_tiles_, scratch(slot));
        plan_.kernels->row_tiles(task_, b, spectrum, 0, row_tiles_, scratch(slot));
      }
    });
  }
  // Both passes of sequences [begin, end), one per lane.
  void lane_sequences(int64_t begin, int64_t end, const Parallel& parallel) const {
    const int64_t lanes = plan_.group;
    parallel_ranges((end - begin + lanes - 1) / lanes, parallel, [&](Range range, int slot) {
      plan_.kernels->sequences(task_, begin + range.begin * lanes,
                               std::min(begin + range.end * lanes, end), scratch(slot));
    });
  }
  // All phases of sequences [begin, end) with a long axis. All slots share each group.
  void long_sequences(int64_t begin, int64_t end, const Parallel& parallel) const {
    const LongShape shape =
        long_shape(args_, plan_.scheme == Scheme::kLongSeq, plan_.kernels->width(args_.dtype));
    const LongTask task{&task_, shape, (shape.along_seq ? hidden_line_ : seq_line_).get(),
                        split_.get(), line_places(shape)};
    for (int64_t b = begin; b < end; b += plan_.group) {
      const int64_t count = std::min<int64_t>(plan_.group, end - b);
      for (int phase = 0; phase < LongShape::kPhases; ++phase) {
        const int64_t pieces = shape.pieces(phase);
        parallel_ranges(count * pieces, parallel, [&](Range range, int slot) {
          for (int64_t i = range.begin; i < range.end;) {
            const int64_t s = i / pieces, last = std::min((s + 1) * pieces, range.end);
            plan_.kernels->long_pieces(task, b + s, at(plan_.spectrum + s * plan_.spectrum_bytes),
                                       phase, i - s * pieces, last - s * pieces, scratch(slot));
            i = last;
          }
        });
      }
    }
  }
  // One pass of sequence b, shared by all slots.
  void seq_pass(int64_t b, void* spectrum, const Parallel& parallel) const {
    parallel_ranges(seq_tiles_, parallel, [&](Range range, int slot) {
      plan_.kernels->seq_tiles(task_, b, spectrum, range.begin, range.end, scratch(slot));
    });
  }
  void row_pass(int64_t b, const void* spectrum, const Parallel& parallel) const {
    parallel_ranges(row_tiles_, parallel, [&](Range range, int slot) {
      plan_.kernels->row_tiles(task_, b, spectrum, range.begin, range.end, scratch(slot));
    });
  }
  void* shared_spectrum() const { return at(plan_.spectrum); }

 private:
  template <class R>
  void find_lines() {
    if (plan_.scheme == Scheme::kLongSeq)
      split_ = split_plan<R>(args_.seq);
    else
      seq_line_ = line_plan<R>(args_.seq);
    if (plan_.scheme == Scheme::kLongHidden)
      split_ = split_plan<R>(args_.hidden);
    else
      hidden_line_ = line_plan<R>(args_.hidden);
  }
  void* at(int64_t offset) const { return offset_bytes(base_, offset); }
  void* scratch(int slot) const { return at(plan_.scratch + slot * plan_.scratch_bytes); }

  const MixArgs& args_;
  const CpuPlan& plan_;
  void* base_;
  std::shared_ptr<const void> seq_line_, hidden_line_;  // LinePlan<compute type>
  std::shared_ptr<const void> split_;                   // SplitPlan<compute type>
  MixTask task_;
  int64_t seq_tiles_, row_tiles_;
};

}  // namespace

Status mix_part_cpu(const MixArgs& args, const CpuPlan& plan, int64_t begin, int64_t end,
                    void* workspace, const Parallel& parallel) {
  if (plan.path != Path::kKernels) return Status::kUnsupportedLength;
  Mix mix(args, plan, workspace);
  mix.widen_affine();
  if (plan.scheme == Scheme::kSequences) {
    mix.lane_sequences(begin, end, parallel);
    return Status::kOk;
  }
  if (plan.scheme != Scheme::kTiles) {
    mix.long_sequences(begin, end, parallel);
    return Status::kOk;
  }
  // Every slot takes equally many whole sequences; all slots share each of the remaining ones.
  const int64_t whole = plan.private_spectra ? (end - begin) / plan.slots * plan.slots : 0;
  mix.whole_sequences(begin, begin + whole, parallel);
  for (int64_t b = begin + whole; b < end; ++b) {
    mix.seq_pass(b, mix.shared_spectrum(), parallel);
    mix.row_pass(b, mix.shared_spectrum(), parallel);
  }
  return Status::kOk;
}

Status seq_pass_cpu(const MixArgs& args, const CpuPlan& plan, int64_t b, void* spectrum,
                    void* workspace, const Parallel& parallel) {
  if (plan.path != Path::kKernels) return Status::kUnsupportedLength;
  Mix(args, plan, workspace).seq_pass(b, spectrum, parallel);
  return Status::kOk;
}

Status row_pass_cpu(const MixArgs& args, const CpuPlan& plan, int64_t b, const void* spectrum,
                    void* workspace, const Parallel& parallel) {
  if (plan.path != Path::kKernels) return Status::kUnsupportedLength;
  Mix mix(args, plan, workspace);
  mix.widen_affine();
  mix.row_pass(b, spectrum, parallel);
  return Status::kOk;
}

}  // namespace fnet
