// device.h for nvcc. Each function compiles to a CUDA intrinsic without extra instructions.
#pragma once

#include <cuda_runtime.h>

#include <atomic>

#include "cuda/launch_config.h"
#include "cuda/types.h"

#define FNET_DEVICE __device__ __forceinline__
#define FNET_TABLE static __device__
#define FNET_KERNEL __global__
#define FNET_KERNEL_BOUNDS(threads, blocks) __global__ __launch_bounds__(threads, blocks)

namespace fnet {

// The source location of an access, which only the simulator uses.
struct Site {
  static FNET_FN constexpr Site current() { return {}; }
};

FNET_DEVICE void sync_threads(Site = {}) { __syncthreads(); }
FNET_DEVICE void sync_warp(Site = {}) { __syncwarp(); }

FNET_DEVICE void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
FNET_DEVICE void await_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// For a non-negative number, division by a power of two is a shift, and extending an index to 64
// bits is free.
FNET_DEVICE int assume_nonnegative(int v) {
  __builtin_assume(v >= 0);
  return v;
}
FNET_DEVICE int thread_index() { return assume_nonnegative(int(threadIdx.x)); }
FNET_DEVICE int block_index() { return assume_nonnegative(int(blockIdx.x)); }

FNET_DEVICE int opaque(int v) {
  asm volatile("" : "+r"(v));
  return assume_nonnegative(v);
}
template <class T, int N>
FNET_DEVICE Vec<T, N> opaque(const Vec<T, N>& v) {
  auto words = detail::bits_as<Vec<unsigned, N * sizeof(T) / 4>>(v);
  for (unsigned& word : words.v) asm volatile("" : "+r"(word));
  return detail::bits_as<Vec<T, N>>(words);
}
// The result is still known to point to global memory. The compiler may merge two calls for the
// same pointer.
template <class T>
FNET_DEVICE T* opaque(T* p) {
  size_t at = __cvta_generic_to_global(p);
  asm("" : "+l"(at));
  return static_cast<T*>(__cvta_global_to_generic(at));
}

template <class T>
FNET_DEVICE T shuffle(T value, int lane, Site = {}) {
  return __shfl_sync(0xffffffffu, value, lane);
}
template <class T>
FNET_DEVICE T shuffle_xor(T value, int mask, Site = {}) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
template <class T>
FNET_DEVICE T shuffle_down(T value, int delta, Site = {}) {
  return __shfl_down_sync(0xffffffffu, value, delta);
}

namespace native {

// The register type of one access of `Bytes` bytes.
template <int Bytes>
struct WordOf;
template <>
struct WordOf<2> {
  using type = unsigned short;
};
template <>
struct WordOf<4> {
  using type = unsigned;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<16> {
  using type = uint4;
};
template <int Bytes>
using Word = typename WordOf<Bytes>::type;

template <int Bytes, Cache C>
FNET_DEVICE Word<Bytes> read_global(const void* p, Site) {
  const auto* word = static_cast<const Word<Bytes>*>(p);
  if constexpr (C == Cache::kReadOnly) return __ldg(word);
  if constexpr (C == Cache::kStreaming) return __ldcs(word);
  return *word;
}

template <int Bytes>
FNET_DEVICE Word<Bytes> read_table(const void*, size_t, const void* p, Site where) {
  return read_global<Bytes, Cache::kReadOnly>(p, where);
}

template <Cache C, class W>
FNET_DEVICE void write_global(void* p, W value, Site) {
  static_assert(C != Cache::kReadOnly);
  if constexpr (C == Cache::kStreaming)
    __stcs(static_cast<W*>(p), value);
  else
    *static_cast<W*>(p) = value;
}

template <int Bytes>
FNET_DEVICE Word<Bytes> read_shared(const void* p, Site) {
  return *static_cast<const Word<Bytes>*>(p);
}
template <class W>
FNET_DEVICE void write_shared(void* p, W value, Site) {
  *static_cast<W*>(p) = value;
}

FNET_DEVICE unsigned char* shared_base() {
  extern __shared__ __align__(16) unsigned char fnet_shared_memory[];
  return fnet_shared_memory;
}

}  // namespace native

namespace detail {

// A kernel must request more than 48 KB of shared memory once per device. For devices after the
// first 64 this requests it every time.
template <auto kKernel>
cudaError_t allow_shared_memory(size_t bytes) {
  static std::atomic<uint64_t> allowed{0};
  if (bytes <= 48 * 1024) return cudaSuccess;
  int device = 0;
  if (const cudaError_t error = cudaGetDevice(&device)) return error;
  const uint64_t bit = device < 64 ? uint64_t(1) << device : 0;
  if (allowed.load(std::memory_order_acquire) & bit) return cudaSuccess;
  const cudaError_t error =
      cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes));
  if (error == cudaSuccess) allowed.fetch_or(bit, std::memory_order_release);
  return error;
}

template <class... P, class... A>
cudaError_t start(const LaunchConfig& config, void (*kernel)(P...), A&&... args) {
  cudaLaunchConfig_t launch = {};
  launch.gridDim = config.grid;
  launch.blockDim = config.block;
  launch.dynamicSmemBytes = config.shared_bytes;
  launch.stream = static_cast<cudaStream_t>(config.stream);
  cudaLaunchAttribute overlaps = {};
  overlaps.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlaps.val.programmaticStreamSerializationAllowed = 1;
  launch.attrs = &overlaps;
  launch.numAttrs = config.overlaps ? 1 : 0;
  return cudaLaunchKernelEx(&launch, kernel, std::forward<A>(args)...);
}

}  // namespace detail

// Returns before the kernel has run. A kernel must always request the same shared memory. A launch
// error is returned and cleared from the runtime, where torch would report it as its own. An
// earlier error of another library is kept.
template <auto kKernel, class... A>
int launch(const LaunchConfig& config, A&&... args) {
  cudaError_t error = detail::allow_shared_memory<kKernel>(config.shared_bytes);
  if (error == cudaSuccess) error = detail::start(config, kKernel, std::forward<A>(args)...);
  if (error != cudaSuccess) cudaGetLastError();
  return error;
}

}  // namespace fnet
