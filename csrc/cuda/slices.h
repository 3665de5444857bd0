// How the host divides a batch, and the partial sums of the backward, for a device.
#pragma once

#include "cuda/blocks.h"
#include "cuda/kernels.h"

namespace fnet {

inline int64_t spectrum_bytes(const MixArgs& args) {
  return args.seq * spectrum_pitch(int(args.hidden)) * int64_t(sizeof(Complex<float>));
}

// A batch in parts that differ by one sequence at most.
struct Slices {
  int64_t batch, count;

  int64_t begin(int64_t i) const { return batch / count * i + std::min(i, batch % count); }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
  int64_t largest() const { return size(0); }
};

// Few enough sequences at a time that the second kernel finds in the second-level cache what the
// first has read and written, yet enough that either kernel of the forward gives every
// multiprocessor all the blocks that it holds.
template <class T>
Slices slices_of(const MixArgs& args, const CudaDevice& device) {
  // x, spectrum and y in half of the cache.
  const int64_t x = args.seq * args.hidden * int64_t(sizeof(T));
  const int64_t cached = device.l2_bytes / 2 / (2 * x + spectrum_bytes(args));

  int64_t enough = 1;
  const auto fill = [&](int blocks, int shared_bytes, int64_t of_a_sequence) {
    const int64_t all = int64_t(device.processors) * resident_blocks(blocks, shared_bytes, device);
    enough = std::max(enough, (all + of_a_sequence - 1) / of_a_sequence);
  };
  visit_seq_shape<T, SeqKernel::kFft>(args.seq, device.shared_bytes, [&](auto i) {
    using K = SeqBlock<T, i>;
    fill(K::kTile.fft_blocks, K::kSharedBytes, 2 * K::tiles(args.hidden));
  });
  visit_row_shape(args.hidden, device.shared_bytes, [&](auto i) {
    using K = RowBlock<i>;
    fill(kRowShapes[i].template blocks<T>().fft, K::kSharedBytes, K::blocks(1, args.seq));
  });

  constexpr int64_t kMostOfAGrid = 65535;  // of its third dimension
  const int64_t slice = std::min(std::max(cached, enough), kMostOfAGrid);
  int64_t count = (args.batch + slice - 1) / slice;
  // The spectrum of all is a little more than half of x in fp32, which is the promise. What few
  // megabytes are nobody misses.
  constexpr int64_t kFew = int64_t(8) << 20;
  if (count == 1 && args.batch > 1 && args.batch * spectrum_bytes(args) > kFew) count = 2;
  return {args.batch, count};
}

// How row_grad shares a slice out. Every block leaves partial sums of its own, so there are no more
// than the device holds at once; each then takes several turns.
struct GradBlocks {
  int64_t count = 0;
  int turns = 1;
};
template <class T>
GradBlocks grad_blocks(const MixArgs& args, int64_t batch, const CudaDevice& device) {
  GradBlocks found;
  visit_row_shape(args.hidden, device.shared_bytes, [&](auto i) {
    using K = RowGradBlock<i>;
    const int blocks = kRowShapes[i].template blocks<T>().grad;
    const int64_t most = std::max<int64_t>(
        1, int64_t(device.processors) * resident_blocks(blocks, K::kSharedBytes, device));
    const int64_t all = K::blocks(batch, args.seq);
    found.turns = int((all + most - 1) / most);
    found.count = (all + found.turns - 1) / found.turns;
  });
  return found;
}

// How the backward goes about a batch, and what it keeps beside its output for the largest slice:
// where each part begins, in bytes. The spectrum is the first.
struct GradPlan {
  Slices slices{};
  GradBlocks blocks;
  int64_t tiles = 0;  // of seq_grad
  int64_t edges = 0, partials = 0, ready = 0, bytes = 0;
};
template <class T>
GradPlan grad_plan(const MixArgs& args, bool sums, const CudaDevice& device) {
  GradPlan plan;
  plan.slices = slices_of<T>(args, device);
  const int64_t batch = plan.slices.largest();
  plan.blocks = grad_blocks<T>(args, batch, device);
  visit_seq_shape<T, SeqKernel::kGrad>(args.seq, device.shared_bytes, [&](auto i) {
    plan.tiles = SeqBlock<T, i>::tiles(args.hidden);
  });
  const int64_t partials = sums ? plan.blocks.count * 2 * args.hidden : 0;
  plan.edges = batch * spectrum_bytes(args);
  plan.partials = plan.edges + batch * plan.tiles * args.seq * int64_t(sizeof(float));
  plan.ready = plan.partials + partials * int64_t(sizeof(float));
  plan.bytes = plan.ready + batch * 2 * plan.tiles * int64_t(sizeof(unsigned));
  return plan;
}

}  // namespace fnet
