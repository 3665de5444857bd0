#include <cuda_runtime.h>

#include "torch_cuda/runtime.h"

namespace fnet::cuda {

int64_t l2_bytes() {
  int device = 0, bytes = 0;
  if (cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device) == cudaSuccess && bytes > 0)
    return bytes;
  cudaGetLastError();  // not ours to leave behind
  return int64_t(4) << 20;
}

const char* error_text(int error) { return cudaGetErrorString(cudaError_t(error)); }

bool is_missing_architecture(int error) {
  return error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
         error == cudaErrorUnsupportedPtxVersion;
}

}  // namespace fnet::cuda
