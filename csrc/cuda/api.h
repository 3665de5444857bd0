// The API of the CUDA kernels: the caller makes a plan, allocates a workspace and runs the plan on
// a stream.
//
// Calls apply to the current device and return without waiting. All pointers are device pointers.
#pragma once

#include <algorithm>
#include <vector>

#include "core/args.h"

namespace fnet {

struct CudaDevice {
  int processors = 132;                  // multiprocessors
  int shared_bytes = 227 << 10;          // shared memory that a block may request
  int64_t l2_bytes = int64_t(50) << 20;  // L2
  bool overlaps = true;                  // a kernel may start before the previous one ends
};
struct CudaQueue {
  void* stream = nullptr;  // a cudaStream_t
  mutable int error = 0;   // the cudaError_t behind kLaunchFailed
};

// A batch in slices whose sizes differ by at most one sequence.
struct Slices {
  int64_t batch = 0, count = 0;

  int64_t begin(int64_t i) const { return batch / count * i + std::min(i, batch % count); }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
  int64_t largest() const { return size(0); }
};

// The radices of a length, in the order in which the kernels apply them.
struct CudaRadices {
  int count = 0;
  int radix[8] = {};
};

// How a call runs, decided once from shape, dtype and device. The shape must not be empty.
struct CudaPlan {
  Path path = Path::kGeneral;
  Reason reason = Reason::kNone;
  int64_t needed_shared_bytes = 0;  // of a block, if reason is kSharedMemory

  // Indices of the kernels' shapes in cuda/lengths.h.
  int seq_shape = -1, row_shape = -1;
  CudaRadices seq_radices, hidden_radices;
  int seq_fft_points = 0, seq_fft_threads = 0, seq_fft_pairs = 0;  // per thread, block, block
  int row_fft_points = 0, row_fft_threads = 0;                     // per thread, line

  Slices slices;
  int64_t spectrum_bytes = 0;  // of one sequence
  int64_t statistics = 0;      // the offset of those of a slice; that of its spectra is 0
  size_t workspace_bytes = 0;
  bool overlaps = false;  // the kernels of a call overlap
};
CudaPlan plan_cuda(const MixArgs& args, const CudaDevice& device);

// The plan of the backward pass, whose workspace also has the partial sums for dweight and dbias.
struct CudaGradPlan : CudaPlan {
  int64_t partials = 0;  // their offset
  int64_t chunks = 0;    // how many sums
};
CudaGradPlan plan_cuda_grad(const NormGradArgs& norm, const MixArgs& args,
                            const CudaDevice& device);

// Sequences of different lengths: those whose transforms have one length run together. Which other
// sequences the call has does not change a bit of the result of a sequence.
struct CudaVarlenPlan {
  struct Group {
    CudaPlan plan;
    int64_t first;  // of its sequences
  };
  std::vector<Group> groups;
  std::vector<Sequence> sequences;  // of all groups, one group after the other
  std::vector<Sequence> others;     // of lengths without kernels, in the order given
  int64_t spectrum = 0;             // its offset in the workspace; that of a table is 0
  size_t workspace_bytes = 0;
};
// Only hidden, dtype and output_rows of `all` count. Empty sequences are left out.
CudaVarlenPlan plan_varlen_cuda(const MixArgs& all, const std::vector<Sequence>& sequences,
                                const CudaDevice& device);

// Whether all addresses and strides are multiples of 16 bytes, as the kernels require.
bool is_aligned_for_cuda(const MixArgs& args);

// Runs both passes of all slices. Only float16 may have a row_scale.
[[nodiscard]] Status mix_cuda(const MixArgs& args, const CudaPlan& plan, void* workspace,
                              const CudaQueue& queue);

// Mixes the sequences of all groups. x, y, normalized and rstd of `all` begin at row 0. Writes
// nothing past the lengths.
[[nodiscard]] Status mix_varlen_cuda(const MixArgs& all, const CudaVarlenPlan& plan,
                                     void* workspace, const CudaQueue& queue);

// Writes zeros to y, normalized and rstd of `all` from the length of each sequence to its end.
// Takes all dtypes and addresses.
[[nodiscard]] Status clear_rows_past_cuda(const MixArgs& all,
                                          const std::vector<Sequence>& sequences,
                                          const CudaQueue& queue);

// Each pass of one slice alone. The seq pass transforms x to the packed spectrum of the slice, of
// slices.size(slice) * plan.spectrum_bytes (cuda/kernels.h defines it), at the beginning of a
// workspace. The row pass transforms the spectrum to y.
[[nodiscard]] Status seq_pass_cuda(const MixArgs& args, const CudaPlan& plan, int64_t slice,
                                   void* workspace, const CudaQueue& queue);
[[nodiscard]] Status row_pass_cuda(const MixArgs& args, const CudaPlan& plan, int64_t slice,
                                   const void* spectrum, const CudaQueue& queue);

// The whole backward pass. norm.rstd must not be null, and tensors must be aligned to 16 bytes.
//   Norm(x + scale M(x)): du, dweight and dbias of norm, then args.y = du + scale M(du). Reads only
//   the shape, dtype, scale and y of args.
//   x + scale M(Norm(x)), if norm.mean is not null: args.y = scale M(args.x), which is norm.grad,
//   then norm in place, which adds norm.residual.
[[nodiscard]] Status norm_mix_grad_cuda(const NormGradArgs& norm, const MixArgs& args,
                                        const CudaGradPlan& plan, void* workspace,
                                        const CudaQueue& queue);

// The general path, for all lengths, dtypes and addresses. See cpu/api.h. norm_grad_cuda takes mean
// and residual.
Status widen_rows_cuda(const MixArgs& args, void* wide, const CudaQueue& queue);
Status mix_from_spectrum_cuda(const MixArgs& args, const void* spectrum, const CudaQueue& queue);
size_t norm_grad_cuda_workspace(const NormGradArgs& args);
Status norm_grad_cuda(const NormGradArgs& args, void* workspace, const CudaQueue& queue);

// The current device. A property that it does not report takes the smallest value of supported
// devices.
CudaDevice current_device();

// The message of a cudaError_t, and whether the error means that this build has no kernels for the
// device.
const char* error_text(int error);
bool is_missing_architecture(int error);

}  // namespace fnet
