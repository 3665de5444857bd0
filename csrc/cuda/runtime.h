// What the binding asks of the CUDA runtime.
#pragma once

#include "core/api.h"

namespace fnet::cuda {

// What the current device has; where it does not say, the least that devices of today have.
CudaDevice current_device();

// The text of a cudaError_t, and whether it means that the kernels are not compiled for the device.
const char* error_text(int error);
bool is_missing_architecture(int error);

}  // namespace fnet::cuda
