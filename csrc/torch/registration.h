// The ops that every device has kernels for.
#pragma once

#include <torch/csrc/stable/library.h>

#include "torch/block_ops.h"
#include "torch/varlen_ops.h"

namespace fnet::binding {

// Registers the kernels of backend B in `m`, which stands for its device.
template <VarlenBackend B>
void implement(auto& m) {
  m.impl("fourier_mix", TORCH_BOX(&Guarded<&fourier_mix<B>>::call));
  m.impl("hartley_mix", TORCH_BOX(&Guarded<&hartley_mix<B>>::call));
  m.impl("fused_fourier_mix", TORCH_BOX(&Guarded<&fused_fourier_mix<B>>::call));
  m.impl("fused_fourier_mix_train", TORCH_BOX(&Guarded<&fused_fourier_mix_train<B>>::call));
  m.impl("fused_fourier_mix_backward", TORCH_BOX(&Guarded<&fused_fourier_mix_backward<B>>::call));
  m.impl("fused_rms_fourier_mix", TORCH_BOX(&Guarded<&fused_rms_fourier_mix<B>>::call));
  m.impl("fused_rms_fourier_mix_train", TORCH_BOX(&Guarded<&fused_rms_fourier_mix_train<B>>::call));
  m.impl("fused_rms_fourier_mix_backward",
         TORCH_BOX(&Guarded<&fused_rms_fourier_mix_backward<B>>::call));
  m.impl("residual_fourier_mix", TORCH_BOX(&Guarded<&residual_fourier_mix<B>>::call));
  m.impl("prenorm_fourier_mix", TORCH_BOX(&Guarded<&prenorm_fourier_mix<B>>::call));
  m.impl("prenorm_fourier_mix_backward",
         TORCH_BOX(&Guarded<&prenorm_fourier_mix_backward<B>>::call));
  m.impl("fourier_mix_varlen", TORCH_BOX(&Guarded<&fourier_mix_varlen<B>>::call));
  m.impl("fused_fourier_mix_varlen", TORCH_BOX(&Guarded<&fused_fourier_mix_varlen<B>>::call));
  m.impl("fused_fourier_mix_varlen_train",
         TORCH_BOX(&Guarded<&fused_fourier_mix_varlen_train<B>>::call));
  m.impl("fused_fourier_mix_varlen_backward",
         TORCH_BOX(&Guarded<&fused_fourier_mix_varlen_backward<B>>::call));
}

}  // namespace fnet::binding
