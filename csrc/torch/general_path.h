// Lengths without kernels of our own: torch.fft's one-sided transform, then our mirror and
// epilogue.
#pragma once

#include "torch/tensors.h"

namespace fnet::binding {

// As mix_cpu, for any lengths, on the device of `like`. It works slice by slice of the batch, so
// that the spectrum in memory stays bounded; y may be x.
void mix_by_torch_fft(const MixArgs& args, const Tensor& like, const Parallel& parallel);

// What it allocates at a time.
int64_t general_path_bytes(const MixArgs& args, const Parallel& parallel);

}  // namespace fnet::binding
