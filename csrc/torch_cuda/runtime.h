// What the binding asks of the CUDA runtime.
#pragma once

#include <cstdint>

namespace fnet::cuda {

// Bytes of the second-level cache of the current device; a moderate guess if it does not say.
int64_t l2_bytes();

// The text of a cudaError_t, and whether it means that the kernels are not compiled for the device.
const char* error_text(int error);
bool is_missing_architecture(int error);

}  // namespace fnet::cuda
