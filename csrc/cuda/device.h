// The functions and macros that all CUDA kernels of this project use. nvcc compiles them to plain
// CUDA (cuda/intrinsics.h). g++ with -DFNET_CUDA_SIM compiles the same kernels for the simulator
// (cuda_sim/intrinsics.h), which runs, checks and audits them on the CPU.
//
//   FNET_KERNEL void k(Args a)                  a kernel; also FNET_KERNEL_BOUNDS(threads, blocks)
//   FNET_DEVICE                                 a function that only kernels call
//   threadIdx, blockIdx, blockDim, gridDim      as in CUDA
//   sync_threads(), sync_warp()                 barriers: all threads of the block, of the warp
//   announce(flag), await(flag)                 release and acquire between blocks: all threads
//   trap()                                      the launch fails
//   thread_index(), block_index()               threadIdx.x and blockIdx.x, signed
//   opaque(v)                                   v, an index or a pointer to global memory; the
//                                               compiler recomputes what depends on it
//   shuffle, shuffle_xor, shuffle_down          whole warps; they order no memory accesses
//   load_global, store_global                   global memory, 2, 4, 8 or 16 bytes per access
//   FNET_TABLE constexpr Table t{}; load_table  constants `at[kSize]` stored with the kernels
//   shared_memory<T>()                          the dynamic shared memory; there is no other
//   launch<kernel>(config, args...)             0, or a cudaError_t as an int
//
// nvcc needs -std=c++20 --expt-relaxed-constexpr.
//
// Rules: A block is whole warps. Every thread of the block or warp reaches a barrier or a shuffle,
// at the same call. Kernels access memory only through these functions. Only helpers pass `where`:
// their caller's.
//
// A block that awaits a flag, 0 until another block has announced it, sees what that block wrote
// before. It may await only blocks of smaller blockIdx.x (equal y and z), and the launch sets
// `in_order`: devices start blocks in the order of their indices (CUDA does not promise this, but
// every decoupled look-back relies on it), and a block that has started also finishes. A flag that
// nobody announces is a bug: after about ten seconds await gives up and returns false in one
// thread. The kernel then traps, so that the call fails instead of hanging. It traps at its very
// end: nvcc 13 spills in every kernel that traps while many registers are live.
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

// Elements p[0..N): aligned to all N together.
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

// N stored numbers as they are computed with, and back.
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

// *p, of table.at.
template <class Table, class Entry>
FNET_DEVICE Entry load_table(const Table& table, const Entry* p, Site where = Site::current()) {
  return detail::bits_as<Entry>(native::read_table<sizeof(Entry)>(&table, sizeof(Table), p, where));
}

// A view of shared memory as elements of T, counted from the view's beginning.
template <class T>
class Shared {
 public:
  explicit FNET_DEVICE Shared(T* base) : base_(base) {}

  FNET_DEVICE T load(int i, Site where = Site::current()) const {
    return detail::bits_as<T>(native::read_shared<sizeof(T)>(base_ + i, where));
  }
  // Elements i..i + N, aligned to all N together.
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
