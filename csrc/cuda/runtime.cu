// Queries of the CUDA runtime for the binding. The simulator does not compile this file.
#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cuda/api.h"

namespace fnet {

// FNET_CUDA_OVERLAP=0 launches every kernel after the end of the previous one, for comparisons and
// for drivers that cannot capture overlapping launches (before CUDA 12.3).
static bool overlap_is_off() {
  static const bool off = [] {
    const char* value = std::getenv("FNET_CUDA_OVERLAP");
    return value && std::string_view(value) == "0";
  }();
  return off;
}

// Has the code of all kernels: that of the device, or PTX of an older compute capability.
static __global__ void any_kernel() {}

// Whether the code that a device runs awaits the previous kernel: PTX below 9.0 lacks the
// instruction, on any device. CUB asks for the version of its code in the same way.
static bool awaits_previous_kernel(int device) {
  static std::atomic<uint64_t> asked{0}, awaits{0};
  const uint64_t bit = device < 64 ? uint64_t(1) << device : 0;
  if (asked.load(std::memory_order_acquire) & bit) return awaits.load() & bit;
  cudaFuncAttributes code = {};
  if (cudaFuncGetAttributes(&code, any_kernel) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  if (code.ptxVersion >= 90) awaits.fetch_or(bit);
  asked.fetch_or(bit, std::memory_order_release);
  return code.ptxVersion >= 90;
}

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
  found.overlaps = ask(cudaDevAttrComputeCapabilityMajor, 0) >= 9 && !overlap_is_off() &&
                   awaits_previous_kernel(device);
  if (failed) cudaGetLastError();  // clears our error; an earlier error of another library stays
  return found;
}

const char* error_text(int error) { return cudaGetErrorString(cudaError_t(error)); }

bool is_missing_architecture(int error) {
  return error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
         error == cudaErrorUnsupportedPtxVersion;
}

}  // namespace fnet
