// device.h for the simulator.
#pragma once

#include <cstring>
#include <tuple>

#include "cuda/types.h"
#include "cuda_sim/launch.h"

#define FNET_DEVICE inline
#define FNET_TABLE inline
#define FNET_KERNEL
#define FNET_KERNEL_BOUNDS(threads, blocks)

namespace fnet {

using Site = cuda_sim::Place;

inline void sync_threads(Site where = Site::current()) {
  cuda_sim::Launch::current().sync_threads(where);
}
inline void sync_warp(Site where = Site::current()) {
  cuda_sim::Launch::current().sync_warp(where);
}

// A launch may overlap the one before whether or not its blocks call this.
inline void launch_dependents() {}
inline void await_previous_kernel(Site where = Site::current()) {
  cuda_sim::Launch::current().await_previous_kernel(where);
}

inline int thread_index() { return int(threadIdx.x); }
inline int block_index() { return int(blockIdx.x); }
template <class T>
T opaque(T v) {
  return v;
}

template <class T>
T shuffle(T value, int lane, Site where = Site::current()) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4);
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  bits = cuda_sim::Launch::current().shuffle(bits, lane & (kWarp - 1), where);
  memcpy(&value, &bits, sizeof(T));
  return value;
}
template <class T>
T shuffle_xor(T value, int mask, Site where = Site::current()) {
  return shuffle(value, cuda_sim::Launch::current().warp_lane() ^ mask, where);
}
template <class T>
T shuffle_down(T value, int delta, Site where = Site::current()) {
  const int lane = cuda_sim::Launch::current().warp_lane();
  return shuffle(value, lane + delta < kWarp ? lane + delta : lane, where);
}

namespace native {

template <int Bytes>
struct Word {
  static_assert(Bytes == 2 || Bytes == 4 || Bytes == 8 || Bytes == 16);
  unsigned char bytes[Bytes];
};

using cuda_sim::Touch;

template <int Bytes>
Word<Bytes> read(bool shared, const void* p, Touch touch, const Site& where) {
  Word<Bytes> word;
  memset(&word, 0xff, Bytes);
  if (cuda_sim::Launch::current().access(shared, p, Bytes, touch, where)) memcpy(&word, p, Bytes);
  return word;
}
template <int Bytes>
void write(bool shared, void* p, const Word<Bytes>& word, const Site& where) {
  if (cuda_sim::Launch::current().access(shared, p, Bytes, Touch::kWrite, where))
    memcpy(p, &word, Bytes);
}

// nvcc may move all loads but plain ones past stores: the others assert that the data is constant.
template <int Bytes, Cache C>
Word<Bytes> read_global(const void* p, const Site& where) {
  return read<Bytes>(false, p, C == Cache::kDefault ? Touch::kRead : Touch::kConstantRead, where);
}
template <int Bytes>
Word<Bytes> read_table(const void* table, size_t size, const void* p, const Site& where) {
  cuda_sim::Launch::current().add_constants("table", table, size);
  return read<Bytes>(false, p, Touch::kConstantRead, where);
}
template <Cache C, int Bytes>
void write_global(void* p, const Word<Bytes>& word, const Site& where) {
  static_assert(C != Cache::kReadOnly);
  write(false, p, word, where);
}
template <int Bytes>
Word<Bytes> read_shared(const void* p, const Site& where) {
  return read<Bytes>(true, p, Touch::kRead, where);
}
template <int Bytes>
void write_shared(void* p, const Word<Bytes>& word, const Site& where) {
  write(true, p, word, where);
}
inline unsigned char* shared_base() { return cuda_sim::Launch::current().shared_base(); }

}  // namespace native

namespace detail {

template <class... P, class... A>
bool run(const LaunchConfig& config, void (*kernel)(P...), A&&... args) {
  struct Call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
  } call{kernel, std::tuple<P...>(std::forward<A>(args)...)};
  const auto body = [](void* c) {
    std::apply(static_cast<Call*>(c)->kernel, static_cast<Call*>(c)->arguments);
  };
  return cuda_sim::Launch::run(config, body, &call);
}

}  // namespace detail

// Returns 0, or 1 if there was an error; Session::launches() lists them.
template <auto kKernel, class... A>
int launch(const LaunchConfig& config, A&&... args) {
  return !detail::run(config, kKernel, std::forward<A>(args)...);
}

}  // namespace fnet
