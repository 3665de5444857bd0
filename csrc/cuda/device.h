// The functions and macros of all CUDA kernels in this project. nvcc compiles them to plain CUDA
// (cuda/intrinsics.h). g++ with -DFNET_CUDA_SIM compiles the same kernels for the simulator
// (cuda_sim/intrinsics.h), which runs and checks them on the CPU.
//
//   FNET_KERNEL void k(Args a)                  a kernel; also FNET_KERNEL_BOUNDS(threads, blocks)
//   FNET_DEVICE                                 a function that only kernels call
//   threadIdx, blockIdx, blockDim, gridDim      as in CUDA
//   sync_threads(), sync_warp()                 barriers: all threads of the block, of the warp
//   launch_dependents()                         lets the next kernel start, if it overlaps
//   await_previous_kernel()                     until that kernel ends, if this one overlaps it
//   thread_index(), block_index()               threadIdx.x and blockIdx.x, signed
//   opaque(v)                                   returns v, an index, a Vec or a global pointer;
//                                               the compiler recomputes values that depend on it
//   shuffle, shuffle_xor, shuffle_down          whole warps; they order no memory accesses
//   load_global, store_global                   global memory, 2, 4, 8 or 16 bytes per access
//   FNET_TABLE constexpr Table t{}; load_table  constants `at[kSize]` stored with the kernels
//   shared_memory<T>()                          the dynamic shared memory, the only kind used
//   launch<kernel>(config, args...)             0, or a cudaError_t as an int
//
// nvcc needs -std=c++20 --expt-relaxed-constexpr.
//
// Rules: A block consists of whole warps. All threads of the block or warp reach a barrier or a
// shuffle at the same call. Kernels access memory only through these functions. Only helpers pass
// `where`, the location of their caller.
//
// A kernel launched with `overlaps` starts once every block of the previous kernel of the stream
// has called launch_dependents() or ended. It must await the previous kernel before it reads what
// that kernel writes or writes what it reads, and before it ends, so that a kernel that has been
// awaited has awaited all kernels before it. The compiler moves plain loads only to their side of
// the wait; it would move Cache::kReadOnly loads past it. Devices below compute capability 9.0
// ignore both.
#pragma once

#include "cuda/types.h"

#if defined(__CUDACC__)
#include "cuda/intrinsics.h"
#elif defined(FNET_CUDA_SIM)
#include "cuda_sim/intrinsics.h"
#else
#error "CUDA kernels are compiled by nvcc, or by a C++ compiler with -DFNET_CUDA_SIM"
#endif

namespace fnet {

// Loads p[0..N), aligned to the size of all N elements.
template <int N, Cache C = Cache::kDefault, class T>
FNET_DEVICE Vec<T, N> load_global(const T* p, Site where = Site::current()) {
  return detail::bits_as<Vec<T, N>>(native::read_global<N * sizeof(T), C>(p, where));
}
template <Cache C = Cache::kDefault, class T>
FNET_DEVICE T load_global(const T* p, Site where = Site::current()) {
  return detail::bits_as<T>(native::read_global<sizeof(T), C>(p, where));
}

template <Cache C = Cache::kDefault, class T, int N>
FNET_DEVICE void store_global(T* p, const Vec<T, N>& value, Site where = Site::current()) {
  native::write_global<C>(p, detail::bits_as<native::Word<N * sizeof(T)>>(value), where);
}
template <Cache C = Cache::kDefault, class T>
FNET_DEVICE void store_global(T* p, const std::type_identity_t<T>& value,
                              Site where = Site::current()) {
  native::write_global<C>(p, detail::bits_as<native::Word<sizeof(T)>>(value), where);
}

// Conversions of N numbers from the storage type to float, and back.
template <class T, int N>
FNET_DEVICE Vec<float, N> widened(const Vec<T, N>& v) {
  Vec<float, N> out;
  static_for<N / 2>([&](auto i) { load_two(v.v + 2 * i, out[2 * i], out[2 * i + 1]); });
  return out;
}
template <class T, int N>
FNET_DEVICE Vec<T, N> rounded(const float (&u)[N]) {
  Vec<T, N> out;
  static_for<N / 2>([&](auto i) { store_two(out.v + 2 * i, u[2 * i], u[2 * i + 1]); });
  return out;
}

// Loads *p, an entry of table.at.
template <class Table, class Entry>
FNET_DEVICE Entry load_table(const Table& table, const Entry* p, Site where = Site::current()) {
  return detail::bits_as<Entry>(native::read_table<sizeof(Entry)>(&table, sizeof(Table), p, where));
}

// A view of shared memory as elements of T, indexed from its base.
template <class T>
class Shared {
 public:
  explicit FNET_DEVICE Shared(T* base) : base_(base) {}

  FNET_DEVICE T load(int i, Site where = Site::current()) const {
    return detail::bits_as<T>(native::read_shared<sizeof(T)>(base_ + i, where));
  }
  // Elements i..i + N, aligned to the size of all N.
  template <int N>
  FNET_DEVICE Vec<T, N> load(int i, Site where = Site::current()) const {
    return detail::bits_as<Vec<T, N>>(native::read_shared<N * sizeof(T)>(base_ + i, where));
  }
  FNET_DEVICE void store(int i, const T& value, Site where = Site::current()) const {
    native::write_shared(base_ + i, detail::bits_as<native::Word<sizeof(T)>>(value), where);
  }
  template <int N>
  FNET_DEVICE void store(int i, const Vec<T, N>& value, Site where = Site::current()) const {
    native::write_shared(base_ + i, detail::bits_as<native::Word<N * sizeof(T)>>(value), where);
  }

  friend FNET_DEVICE Shared operator+(Shared s, int i) { return Shared(s.base_ + i); }

 private:
  T* base_;
};

template <class T>
FNET_DEVICE Shared<T> shared_memory(int byte_offset = 0) {
  return Shared<T>(reinterpret_cast<T*>(native::shared_base() + byte_offset));
}

}  // namespace fnet
