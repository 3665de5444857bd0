// Slots on threads of their own, for test programs without a thread pool.
#pragma once

#include <thread>
#include <vector>

#include "cpu/api.h"

namespace fnet {

inline Parallel threads(int slots) {
  return Parallel(slots, [](int count, Parallel::Body body, void* context) {
    std::vector<std::thread> pool;
    for (int slot = 1; slot < count; ++slot) pool.emplace_back(body, context, slot);
    body(context, 0);
    for (std::thread& thread : pool) thread.join();
  });
}

}  // namespace fnet
