// Deterministic sums over all threads of a block. Every thread gets the same result.
#pragma once

#include "cuda/device.h"

namespace fnet {

// N sums at once. Uses the first N * threads / 32 numbers of shared memory, which must be unused.
template <int N, class R>
FNET_DEVICE void block_sum(R (&v)[N], Site where = Site::current()) {
  const int warps = int(blockDim.x) / kWarp, warp = thread_index() / kWarp;
  const auto places = shared_memory<R>();
  for (int i = 0; i < N; ++i) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) v[i] += shuffle_xor(v[i], mask, where);
    if (threadIdx.x % kWarp == 0) places.store(i * warps + warp, v[i], where);
  }
  sync_threads(where);
  for (int i = 0; i < N; ++i) {
    v[i] = 0;
    for (int w = 0; w < warps; ++w) v[i] += places.load(i * warps + w, where);
  }
  sync_threads(where);
}

}  // namespace fnet
