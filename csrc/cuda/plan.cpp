// The plan of a call on a CUDA device: path, shapes of the kernels, slices of the batch, layout of
// the workspace.
#include "cuda/blocks.h"

namespace fnet {
namespace {

// Shared memory of the smallest block of a kernel along seq for this length; 0 if it has none.
template <class T, SeqKernel Kernel>
int64_t smallest_seq_block(int64_t seq) {
  int64_t smallest = 0, limit = int64_t(1) << 30;
  while (visit_seq_shape<T, Kernel>(seq, limit, [&](auto i) {
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
  if (visit_seq_shape<T, SeqKernel::kFft>(args.seq, limit, keep(plan.seq_fft_shape)) &&
      visit_seq_shape<T, SeqKernel::kGrad>(args.seq, limit, keep(plan.seq_grad_shape)) &&
      visit_row_shape(args.hidden, limit, keep(plan.row_shape))) {
    plan.path = Path::kKernels;
    return;
  }
  const int64_t seq = std::max(smallest_seq_block<T, SeqKernel::kFft>(args.seq),
                               smallest_seq_block<T, SeqKernel::kGrad>(args.seq));
  int64_t hidden = 0;
  visit_row_shape(args.hidden, int64_t(1) << 30,
                  [&](auto i) { hidden = RowGradBlock<i>::kSharedBytes; });
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

// Slices are small enough for the second kernel to find the data of the first in L2, but large
// enough for both kernels of the forward pass to fill every multiprocessor.
template <class T>
Slices slices_of(const MixArgs& args, const CudaPlan& plan, const CudaDevice& device) {
  // x, spectrum and y fit in half of L2.
  const int64_t x = args.seq * args.hidden * int64_t(sizeof(T));
  const int64_t cached = device.l2_bytes / 2 / (2 * x + plan.spectrum_bytes);

  int64_t enough = 1;
  const auto fill = [&](int blocks_per_sm, int shared_bytes, int64_t per_sequence) {
    const int64_t resident =
        int64_t(device.processors) * resident_blocks(blocks_per_sm, shared_bytes, device);
    enough = std::max(enough, (resident + per_sequence - 1) / per_sequence);
  };
  with_seq_shape<T, SeqKernel::kFft>(plan.seq_fft_shape, [&](auto i) {
    using K = SeqBlock<T, i>;
    fill(K::kTile.fft_blocks, K::kSharedBytes, 2 * K::tiles(args.hidden));
  });
  with_row_shape(plan.row_shape, [&](auto i) {
    using K = RowBlock<i>;
    fill(kRowShapes[i].template blocks<T>().fft, K::kSharedBytes, K::grid_size(1, args.seq));
  });

  constexpr int64_t kMaxGridZ = 65535;
  const int64_t slice = std::min(std::max(cached, enough), kMaxGridZ);
  int64_t count = (args.batch + slice - 1) / slice;
  // The spectrum of the whole batch is slightly more than half of x in fp32; the documented limit
  // is half. A few megabytes are exempt.
  constexpr int64_t kExempt = int64_t(8) << 20;
  if (count == 1 && args.batch > 1 && args.batch * plan.spectrum_bytes > kExempt) count = 2;
  return {args.batch, count};
}

template <class T>
void fill_forward(const MixArgs& args, const CudaDevice& device, CudaPlan& plan) {
  with_seq_shape<T, SeqKernel::kFft>(plan.seq_fft_shape, [&](auto i) {
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
  plan.spectrum_bytes =
      args.seq * spectrum_pitch(int(args.hidden)) * int64_t(sizeof(Complex<float>));
  plan.slices = slices_of<T>(args, plan, device);
  plan.workspace_bytes = size_t(plan.slices.largest() * plan.spectrum_bytes);
}

// Every block of row_grad writes partial sums, so the grid has only as many blocks as the device
// runs at once, and each thread takes several lines.
template <class T>
void fill_backward(const MixArgs& args, bool sums, const CudaDevice& device, CudaGradPlan& plan) {
  const int64_t batch = plan.slices.largest();
  with_row_shape(plan.row_shape, [&](auto i) {
    using K = RowGradBlock<i>;
    const int blocks_per_sm = kRowShapes[i].template blocks<T>().grad;
    const int64_t resident = std::max<int64_t>(
        1, int64_t(device.processors) * resident_blocks(blocks_per_sm, K::kSharedBytes, device));
    const int64_t all = K::grid_size(batch, args.seq);
    plan.row_grad_iterations = int((all + resident - 1) / resident);
    plan.row_grad_grid_size = (all + plan.row_grad_iterations - 1) / plan.row_grad_iterations;
  });
  with_seq_shape<T, SeqKernel::kGrad>(plan.seq_grad_shape, [&](auto i) {
    plan.seq_grad_tiles = SeqBlock<T, i>::tiles(args.hidden);
  });
  const int64_t partials = sums ? plan.row_grad_grid_size * 2 * args.hidden : 0;
  plan.edges = batch * plan.spectrum_bytes;
  plan.partials = plan.edges + batch * plan.seq_grad_tiles * args.seq * int64_t(sizeof(float));
  plan.flags = plan.partials + partials * int64_t(sizeof(float));
  plan.workspace_bytes =
      size_t(plan.flags + batch * 2 * plan.seq_grad_tiles * int64_t(sizeof(unsigned)));
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
  return plan_with<CudaPlan>(
      args, device, [&](auto t, CudaPlan& plan) { fill_forward<decltype(t)>(args, device, plan); });
}

CudaGradPlan plan_cuda_grad(const NormGradArgs& norm, const MixArgs& args,
                            const CudaDevice& device) {
  return plan_with<CudaGradPlan>(args, device, [&](auto t, CudaGradPlan& plan) {
    fill_forward<decltype(t)>(args, device, plan);
    fill_backward<decltype(t)>(args, norm.dweight || norm.dbias, device, plan);
  });
}

}  // namespace fnet
