// The general path, for lengths without kernels: torch.fft's one-sided transform, then our mirror
// and epilogue. Slices of the batch bound the memory of the spectrum.
//
// Halves are a backend's kernels before and after the transform: workspace(args) in bytes,
// widen(args, wide), finish(args, spectrum, workspace).
#pragma once

#include <algorithm>

#include "torch/tensors.h"

namespace fnet::binding {

// torch.fft.rfft2(x), contiguous, as real pairs [..., seq, hidden / 2 + 1, 2].
Tensor rfft2_pairs(const Tensor& x);

// The sequences of one slice: as many as have 2^22 elements together, but at least one.
inline int64_t general_path_slice(const MixArgs& args) {
  return std::clamp<int64_t>((int64_t(1) << 22) / (args.seq * args.hidden), 1, args.batch);
}

// Whether the transform reads x in place; otherwise rows are widened first.
inline bool is_wide(const MixArgs& args) {
  return element_size(args.dtype) == compute_size(args.dtype) && !args.row_scale &&
         !args.norm_first && args.present_rows() == args.seq;
}

// The bytes that mix_by_torch_fft allocates at a time.
template <class Halves>
int64_t general_path_bytes(const MixArgs& args, const Halves& halves) {
  MixArgs part = args;
  part.batch = general_path_slice(args);
  const int64_t wide_row = is_wide(args) ? 0 : args.hidden,
                spectrum_row = 2 * (args.hidden / 2 + 1);
  return part.batch * args.seq * (wide_row + spectrum_row) * compute_size(args.dtype) +
         int64_t(halves.workspace(part));
}

// x [batch, seq, hidden] in the compute type: in place if possible, otherwise a copy.
template <class Halves>
Tensor wide_rows(const MixArgs& args, const Tensor& like, const Halves& halves) {
  const std::vector<int64_t> sizes{args.batch, args.seq, args.hidden};
  if (is_wide(args)) {
    const std::vector<int64_t> strides{args.x_batch_stride, args.x_row_stride, 1};
    return torch::stable::from_blob(const_cast<void*>(args.x), sizes, strides, like.device(),
                                    compute_type(args.dtype));
  }
  const Tensor wide = new_empty(like, sizes, compute_type(args.dtype));
  halves.widen(args, wide.mutable_data_ptr());
  return wide;
}

// The op for any lengths, on the device of `like`. y may be x.
template <class Halves>
void mix_by_torch_fft(const MixArgs& args, const Tensor& like, const Halves& halves) {
  const int64_t slice = general_path_slice(args);
  for (int64_t b = 0; b < args.batch; b += slice) {
    const MixArgs part = part_of(args, b, std::min(b + slice, args.batch));
    const Tensor spectrum = rfft2_pairs(wide_rows(part, like, halves));
    const Tensor workspace = new_bytes(like, halves.workspace(part));
    halves.finish(part, spectrum.const_data_ptr(), workspace.mutable_data_ptr());
  }
}

}  // namespace fnet::binding
