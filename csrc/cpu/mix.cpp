// The mix on the CPU: both passes, and how slots share them.
#include <algorithm>
#include <cstring>
#include <memory>

#include "cpu/kernels.h"
#include "cpu/line_plan.h"
#include "cpu/real_line.h"
#include "cpu/share.h"
#include "cpu/split_plan.h"
#include "cpu/workspace.h"

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
    if (args.present_rows() == args.seq) return;
    task_.zeros = at(plan.zeros);
    std::memset(at(plan.zeros), 0, size_t(args.hidden * element_size(args.dtype)));
  }

  void widen_affine() {
    widen(args_.affine_dtype(), args_.weight, 1, args_.hidden, at(plan_.weight));
    widen(args_.affine_dtype(), args_.bias, 0, args_.hidden, at(plan_.bias));
    if (args_.norm_first) scale_bias();
  }

  // The statistics of the rows of sequences [begin, end), which the seq pass reads.
  void statistics(int64_t begin, int64_t end, const Parallel& parallel) const {
    if (!args_.norm_first) return;
    parallel_pieces(end - begin, args_.seq, parallel,
                    [&](int64_t i, int64_t first, int64_t last, int) {
                      plan_.kernels->row_statistics(args_, begin + i, first, last);
                    });
  }

  // Both passes of sequences [begin, end), each sequence in one slot.
  void whole_sequences(int64_t begin, int64_t end, const Parallel& parallel) const {
    const PassTiles seq = tiles(plan_.kernels->seq_pass), row = tiles(plan_.kernels->row_pass);
    parallel_ranges(end - begin, parallel, [&](Range range, int slot) {
      for (int64_t b = begin + range.begin; b < begin + range.end; ++b) {
        statistics_of(b);
        plan_.kernels->seq_tiles(task_, b, spectrum(slot), Tiles::kWhole, 0, seq.count,
                                 scratch(slot));
        plan_.kernels->row_tiles(task_, b, spectrum(slot), Tiles::kWhole, 0, row.count,
                                 scratch(slot));
      }
    });
  }

  // Both passes of sequences [begin, end), one per lane.
  void lane_sequences(int64_t begin, int64_t end, const Parallel& parallel) const {
    const int64_t lanes = plan_.group;
    const Tiles tiles = lanes < plan_.kernels->width(args_.dtype) ? Tiles::kFine : Tiles::kWhole;
    parallel_ranges((end - begin + lanes - 1) / lanes, parallel.first(plan_.workers),
                    [&](Range range, int slot) {
                      const int64_t first = begin + range.begin * lanes;
                      const int64_t last = std::min(begin + range.end * lanes, end);
                      for (int64_t b = first; b < last; ++b) statistics_of(b);
                      plan_.kernels->sequences(task_, tiles, first, last, scratch(slot));
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
      statistics(b, b + count, parallel.first(plan_.workers));
      for (const LongPhase phase : shape.phases()) {
        parallel_pieces(count, shape.pieces(phase), parallel.first(plan_.workers),
                        [&](int64_t i, int64_t first, int64_t last, int slot) {
                          plan_.kernels->long_pieces(task, b + i, spectrum(i), phase, first, last,
                                                     scratch(slot));
                        });
      }
    }
  }
  // One pass of sequences [begin, end), shared by all slots. spectrum_of(i) is the spectrum of
  // sequence begin + i. The row pass may have scratch in `lent`.
  template <class F>
  void seq_pass(int64_t begin, int64_t end, const F& spectrum_of, const Parallel& parallel) const {
    const Kernels& kernels = *plan_.kernels;
    shared_pass(kernels.seq_pass, kernels.seq_tiles, begin, end, spectrum_of, parallel, y_of(begin),
                lent_by_y(kernels, args_, end - begin));
  }
  template <class F>
  void row_pass(int64_t begin, int64_t end, const F& spectrum_of, const Parallel& parallel,
                void* lent = nullptr, int64_t lent_bytes = 0) const {
    const Kernels& kernels = *plan_.kernels;
    shared_pass(kernels.row_pass, kernels.row_tiles, begin, end, spectrum_of, parallel, lent,
                lent_bytes);
  }

  // Both passes of sequences [begin, end), as many at a time as have a spectrum.
  void shared_sequences(int64_t begin, int64_t end, const Parallel& parallel) const {
    const auto spectrum_of = [&](int64_t i) { return spectrum(i); };
    for (int64_t b = begin; b < end; b += plan_.sequences) {
      const int64_t last = std::min(b + plan_.sequences, end);
      statistics(b, last, parallel);
      seq_pass(b, last, spectrum_of, parallel);
      if (plan_.halves && last - b > 1)
        row_pass_in_halves(b, last, parallel);
      else
        row_pass(b, last, spectrum_of, parallel);
    }
  }

  // The scratch of the first half lies in y of the second one, that of the second half in the
  // spectra of the first one.
  void row_pass_in_halves(int64_t begin, int64_t end, const Parallel& parallel) const {
    const int64_t second = (end - begin) / 2, first = end - begin - second;
    row_pass(
        begin, begin + first, [&](int64_t i) { return spectrum(i); }, parallel, y_of(begin + first),
        lent_by_y(*plan_.kernels, args_, second));
    row_pass(
        begin + first, end, [&](int64_t i) { return spectrum(first + i); }, parallel, spectrum(0),
        first * plan_.spectrum_bytes);
  }

 private:
  void statistics_of(int64_t b) const {
    if (args_.norm_first) plan_.kernels->row_statistics(args_, b, 0, args_.seq);
  }
  void scale_bias() {
    visit_dtype(compute_dtype(args_.dtype), [&](auto t) {
      using R = Compute<decltype(t)>;
      R* bias = static_cast<R*>(at(plan_.bias));
      for (int64_t l = 0; l < args_.hidden; ++l) bias[l] *= R(args_.scale) / 4;
    });
  }
  template <class R>
  void find_lines() {
    if (plan_.scheme == Scheme::kSequences && has_real_line(args_.seq, args_.hidden)) {
      hidden_line_ = real_line_plan<R>(args_.hidden);
      return;
    }
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
  void* spectrum(int64_t i) const { return at(plan_.spectrum + i * plan_.spectrum_bytes); }
  void* scratch(int worker) const {
    return at(plan_.scratch + worker * (plan_.scratch_bytes / plan_.workers));
  }
  PassTiles tiles(PassOf pass) const {
    return pass(args_.dtype, args_.seq, args_.hidden, Tiles::kWhole);
  }
  // The memory that y of sequences from b on lends.
  void* y_of(int64_t b) const {
    return aligned_base(
        offset_bytes(args_.y, b * args_.seq * args_.hidden * element_size(args_.dtype)));
  }
  template <class Run, class F>
  void shared_pass(PassOf pass, Run run, int64_t begin, int64_t end, const F& spectrum_of,
                   const Parallel& parallel, void* lent, int64_t lent_bytes) const {
    const PassShare share =
        share_pass(pass, args_, end - begin, plan_.slots, {plan_.scratch_bytes, lent_bytes});
    share.each(parallel, [&](int64_t i, int64_t first, int64_t last, int slot) {
      run(task_, begin + i, spectrum_of(i), share.tiles, first, last,
          share.scratch(slot, at(plan_.scratch), lent));
    });
  }

  const MixArgs& args_;
  const CpuPlan& plan_;
  void* base_;
  std::shared_ptr<const void> seq_line_, hidden_line_;  // LinePlan or RealLinePlan, and
  std::shared_ptr<const void> split_;                   // SplitPlan, of the compute type
  MixTask task_;
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
  // Every slot takes equally many whole sequences; all slots share the remaining ones.
  const int64_t whole = plan.private_spectra ? (end - begin) / plan.slots * plan.slots : 0;
  mix.whole_sequences(begin, begin + whole, parallel);
  mix.shared_sequences(begin + whole, end, parallel);
  return Status::kOk;
}

Status seq_pass_cpu(const MixArgs& args, const CpuPlan& plan, int64_t b, void* spectrum,
                    void* workspace, const Parallel& parallel) {
  if (plan.scheme != Scheme::kTiles || plan.path != Path::kKernels)
    return Status::kUnsupportedLength;
  Mix mix(args, plan, workspace);
  if (args.norm_first) mix.widen_affine();
  mix.statistics(b, b + 1, parallel);
  mix.seq_pass(b, b + 1, [&](int64_t) { return spectrum; }, parallel);
  return Status::kOk;
}

Status row_pass_cpu(const MixArgs& args, const CpuPlan& plan, int64_t b, const void* spectrum,
                    void* workspace, const Parallel& parallel) {
  if (plan.scheme != Scheme::kTiles || plan.path != Path::kKernels)
    return Status::kUnsupportedLength;
  Mix mix(args, plan, workspace);
  mix.widen_affine();
  mix.row_pass(b, b + 1, [&](int64_t) { return spectrum; }, parallel);
  return Status::kOk;
}

}  // namespace fnet
