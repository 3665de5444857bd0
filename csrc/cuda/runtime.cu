// Queries of the CUDA runtime for the binding. The simulator does not compile this file.
#include <cuda_runtime.h>

#include "cuda/api.h"

namespace fnet {

CudaDevice current_device() {
  int device = 0;
  bool failed = cudaGetDevice(&device) != cudaSuccess;
  const auto ask = [&](cudaDeviceAttr what, int otherwise) {
    int value = 0;
    if (!failed) failed = cudaDeviceGetAttribute(&value, what, device) != cudaSuccess;
    return !failed && value > 0 ? value : otherwise;
  };
  CudaDevice found;
  found.processors = ask(cudaDevAttrMultiProcessorCount, 16);
  found.shared_bytes = ask(cudaDevAttrMaxSharedMemoryPerBlockOptin, 48 << 10);
  found.l2_bytes = ask(cudaDevAttrL2CacheSize, 4 << 20);
  if (failed) cudaGetLastError();  // clears our error; an earlier error of another library stays
  return found;
}

const char* error_text(int error) { return cudaGetErrorString(cudaError_t(error)); }

bool is_missing_architecture(int error) {
  return error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
         error == cudaErrorUnsupportedPtxVersion;
}

}  // namespace fnet
