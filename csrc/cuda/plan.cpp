// The plan of a call on a CUDA device: path, shapes of the kernels, slices of the batch, layout of
// the workspace.
#include "cuda/blocks.h"

namespace fnet {
namespace {

// Shared memory of the smallest block of seq_fft for this length; 0 if it has none.
template <class T>
int64_t smallest_seq_block(int64_t seq) {
  int64_t smallest = 0, limit = int64_t(1) << 30;
  while (visit_seq_shape<T>(seq, limit, [&](auto i) {
    smallest = SeqBlock<T, i>::kSharedBytes;
    limit = smallest - 1;
  })) {
  }
  return smallest;
}

// Sets the path, its reason and, for the general path, the shared memory that a block would need.
template <class T>
void choose_path(const MixArgs& args, const CudaDevice& device, CudaPlan& plan) {
  const auto keep = [](int& shape) { return [&shape](auto i) { shape = i; }; };
  const int64_t limit = device.shared_bytes;
  if (visit_seq_shape<T>(args.seq, limit, keep(plan.seq_shape)) &&
      visit_row_shape(args.hidden, limit, keep(plan.row_shape))) {
    plan.path = Path::kKernels;
    return;
  }
  const int64_t seq = smallest_seq_block<T>(args.seq);
  int64_t hidden = 0;
  visit_row_shape(args.hidden, int64_t(1) << 30,
                  [&](auto i) { hidden = RowBlock<i>::kSharedBytes; });
  if (seq && hidden) {
    plan.reason = Reason::kSharedMemory;
    plan.needed_shared_bytes = std::max(seq, hidden);
  } else {
    plan.reason = seq ? Reason::kHidden : hidden ? Reason::kSeq : Reason::kSeqAndHidden;
  }
}

void append(CudaRadices& list, int radix) { list.radix[list.count++] = radix; }
void append(CudaRadices& list, const LineShape& line) {
  for (int i = 0; i < line.stages(); ++i) append(list, line.radix[i]);
}

// The blocks of a kernel: how many the device runs at once, and how many a sequence has.
struct Blocks {
  int64_t resident = 1, per_sequence = 1;

  int64_t waves(int64_t sequences) const {
    return (sequences * per_sequence + resident - 1) / resident;
  }
  // The fewest sequences that fill the device.
  int64_t enough() const { return (resident + per_sequence - 1) / per_sequence; }
  // The most sequences, up to `limit`, that fit in as many waves as `limit` of them fill.
  int64_t in_full_waves(int64_t limit) const {
    return limit * per_sequence / resident * resident / per_sequence;
  }
};

// Slices are small enough for the second kernel to find the data of the first in L2, but large
// enough for both kernels to fill every multiprocessor. Somewhat smaller ones are taken if all
// slices together then have fewer waves: 128x512x768 in bfloat16 takes an H200 181 us in 8 slices,
// each of one wave, and 208 us in 7, which have a second wave with a few blocks.
template <class T>
Slices slices_of(const MixArgs& args, const CudaPlan& plan, const CudaDevice& device) {
  // x, spectrum and y fit in half of L2.
  const int64_t x = args.seq * args.hidden * int64_t(sizeof(T));
  const int64_t cached = device.l2_bytes / 2 / (2 * x + plan.spectrum_bytes);

  const auto blocks = [&](int blocks_per_sm, int shared_bytes, int64_t per_sequence) {
    const int shared = device.shared_bytes + 1024;  // of a multiprocessor
    const int64_t resident =
        int64_t(device.processors) * resident_blocks(blocks_per_sm, shared_bytes, shared);
    return Blocks{std::max(resident, int64_t(1)), per_sequence};
  };
  Blocks seq, row;
  with_seq_shape<T>(plan.seq_shape, [&](auto i) {
    using K = SeqBlock<T, i>;
    seq = blocks(K::kTile.blocks_per_sm, K::kSharedBytes, 2 * K::tiles(args.hidden));
  });
  with_row_shape(plan.row_shape, [&](auto i) {
    using K = RowBlock<i>;
    row = blocks(K::template kBlocksPerSm<T>, K::kSharedBytes, K::grid_size(1, args.seq));
  });

  constexpr int64_t kMaxGridZ = 65535;
  const int64_t slice = std::min(std::max({cached, seq.enough(), row.enough()}), kMaxGridZ);
  const auto waves = [&](int64_t count) {
    const auto of = [&](int64_t size) { return seq.waves(size) + row.waves(size); };
    const int64_t size = args.batch / count, larger = args.batch % count;
    return larger * of(size + 1) + (count - larger) * of(size);
  };
  int64_t count = (args.batch + slice - 1) / slice;
  for (const Blocks& kernel : {seq, row})
    if (const int64_t size = kernel.in_full_waves(slice); size > 0) {
      const int64_t other = (args.batch + size - 1) / size;
      if (waves(other) < waves(count)) count = other;
    }
  // The spectrum of the whole batch is slightly more than half of x in fp32; the documented limit
  // is half. A few megabytes are exempt.
  constexpr int64_t kExempt = int64_t(8) << 20;
  if (count == 1 && args.batch > 1 && args.batch * plan.spectrum_bytes > kExempt) count = 2;
  return {args.batch, count};
}

template <class T>
void fill_forward(const MixArgs& args, bool statistics, const CudaDevice& device, CudaPlan& plan) {
  with_seq_shape<T>(plan.seq_shape, [&](auto i) {
    using K = SeqBlock<T, i>;
    plan.seq_fft_points = K::kLine.points;
    plan.seq_fft_threads = K::kThreads;
    plan.seq_fft_pairs = K::kLines;
    append(plan.seq_radices, K::kLine);
    append(plan.seq_radices, 2);  // row_fft's
  });
  with_row_shape(plan.row_shape, [&](auto i) {
    using K = RowBlock<i>;
    plan.row_fft_points = K::kPoints;
    plan.row_fft_threads = K::kLineThreads;
    append(plan.hidden_radices, K::kLine);
  });
  plan.overlaps = device.overlaps;
  plan.spectrum_bytes =
      args.seq * spectrum_pitch(int(args.hidden)) * int64_t(sizeof(Complex<float>));
  plan.slices = slices_of<T>(args, plan, device);
  plan.statistics = plan.slices.largest() * plan.spectrum_bytes;
  plan.workspace_bytes = size_t(plan.statistics);
  if (statistics)
    plan.workspace_bytes += size_t(plan.slices.largest() * args.seq) * sizeof(RowStatistics);
}

// norm_grad's sums follow the spectrum. A smaller slice may have more chunks than a larger one:
// 8192 rows have 256 and 8320 rows 253.
template <class T>
void fill_backward(const NormGradArgs& norm, const MixArgs& args, const CudaDevice& device,
                   CudaGradPlan& plan) {
  const bool sums = norm.dweight || norm.dbias;
  const bool scales_rows = args.dtype == DType::kFloat16 && !norm.mean;
  fill_forward<T>(args, scales_rows, device, plan);
  plan.partials = int64_t(plan.workspace_bytes);
  if (!sums) return;
  for (int64_t i = 0; i < plan.slices.count; ++i)
    plan.chunks += norm_grad_chunks(plan.slices.size(i) * args.seq);
  plan.workspace_bytes += size_t(plan.chunks * 2 * args.hidden * int64_t(sizeof(float)));
}

template <class Plan, class F>
Plan plan_with(const MixArgs& args, const CudaDevice& device, const F& fill) {
  Plan plan;
  if (args.dtype == DType::kFloat64) {
    plan.reason = Reason::kDType;
    return plan;
  }
  if (args.transform != Transform::kFourier) {
    plan.reason = Reason::kTransform;
    return plan;
  }
  // Shapes depend only on the size of the storage type.
  const auto make = [&](auto t) {
    choose_path<decltype(t)>(args, device, plan);
    if (plan.path == Path::kKernels) fill(t, plan);
  };
  if (element_size(args.dtype) == 2)
    make(BFloat16());
  else
    make(float());
  return plan;
}

}  // namespace

CudaPlan plan_cuda(const MixArgs& args, const CudaDevice& device) {
  return plan_with<CudaPlan>(args, device, [&](auto t, CudaPlan& plan) {
    fill_forward<decltype(t)>(args, args.norm_first || args.row_scale, device, plan);
  });
}

CudaGradPlan plan_cuda_grad(const NormGradArgs& norm, const MixArgs& args,
                            const CudaDevice& device) {
  return plan_with<CudaGradPlan>(args, device, [&](auto t, CudaGradPlan& plan) {
    fill_backward<decltype(t)>(norm, args, device, plan);
  });
}

}  // namespace fnet
