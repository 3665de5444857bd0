// The general path on the CPU: the kernels before and after a library's FFT.
#include <algorithm>

#include "core/layer_norm.h"
#include "cpu/kernels.h"
#include "cpu/workspace.h"
#include "fft/mirror.h"

namespace fnet {

namespace {

// Replaces row i of x by what the transform reads: Norm(x) weight + bias.
template <class R>
void normalize_row(const MixArgs& args, const Kernels& kernels, int64_t i, R* row) {
  kernels.row_statistics(args, i / args.seq, i % args.seq, i % args.seq + 1);
  const R mean = static_cast<const R*>(args.mean)[i], rstd = static_cast<const R*>(args.rstd)[i];
  visit_dtype(args.affine_dtype(), [&](auto t) {
    using A = decltype(t);
    const A *weight = static_cast<const A*>(args.weight), *bias = static_cast<const A*>(args.bias);
    for (int64_t l = 0; l < args.hidden; ++l) {
      row[l] = normalize(row[l], mean, rstd);
      if (weight) row[l] *= with_short_nan(R(load_scalar(weight[l])));
      if (bias) row[l] += with_short_nan(R(load_scalar(bias[l])));
    }
  });
}

}  // namespace

void widen_rows_cpu(const MixArgs& args, const CpuPlan& plan, void* wide,
                    const Parallel& parallel) {
  const Kernels& kernels = *plan.kernels;
  visit_dtype(args.dtype, [&](auto t) {
    using T = decltype(t);
    using R = Compute<T>;
    parallel_ranges(args.batch * args.seq, parallel, [&](Range range, int) {
      for (int64_t i = range.begin; i < range.end; ++i) {
        const T* row = static_cast<const T*>(args.x) + i / args.seq * args.x_batch_stride +
                       i % args.seq * args.x_row_stride;
        R* to = static_cast<R*>(wide) + i * args.hidden;
        if (i % args.seq >= args.present_rows()) {
          std::fill_n(to, args.hidden, R(0));
          continue;
        }
        const R scale =
            args.row_scale ? with_short_nan(static_cast<const R*>(args.row_scale)[i]) : R(1);
        for (int64_t l = 0; l < args.hidden; ++l) to[l] = load_scalar(row[l]) * scale;
        if (args.norm_first) normalize_row(args, kernels, i, to);
      }
    });
  });
}

void mix_from_spectrum_cpu(const MixArgs& args, const CpuPlan& plan, const void* spectrum,
                           void* workspace, const Parallel& parallel) {
  void* base = aligned_base(workspace);
  void* weight = offset_bytes(base, plan.weight);
  void* bias = offset_bytes(base, plan.bias);
  widen(args.affine_dtype(), args.weight, 1, args.hidden, weight);
  widen(args.affine_dtype(), args.bias, 0, args.hidden, bias);
  const MixTask task{&args, nullptr, nullptr, weight, bias, streams_output(args)};
  const auto rows = [&](int64_t b, int64_t begin, int64_t end, int slot) {
    void* scratch = offset_bytes(base, plan.scratch + slot * (plan.scratch_bytes / plan.workers));
    plan.kernels->spectrum_rows(task, b, spectrum, begin, end, scratch);
  };
  parallel_pieces(args.batch, half_length(args.seq), parallel, rows);
}

}  // namespace fnet
