// Which outputs are written past the caches.
#include <algorithm>
#include <atomic>

#include "cpu/caches.h"
#include "cpu/kernels.h"

namespace fnet {
namespace {

// An output that the caches cannot hold pushes useful things out, and waits for lines that it then
// overwrites. One that they can hold often lies where another tensor has just been freed: those
// lines are there already, and so is the output when the next layer reads it.
int64_t usual_bytes() {
  constexpr int64_t kLeast = 4 << 20;  // past the second caches at any rate
  // A virtual machine is told of all of a cache that it shares with others: 480 MB for two cores.
  constexpr int64_t kMost = 16 << 20;
  return std::clamp(last_cache_bytes() / 8, kLeast, kMost);
}

std::atomic<int64_t>& limit() {
  static std::atomic<int64_t> bytes = usual_bytes();
  return bytes;
}

}  // namespace

int64_t stream_bytes() { return limit().load(std::memory_order_relaxed); }

void set_stream_bytes(int64_t bytes) {
  limit().store(bytes > 0 ? bytes : usual_bytes(), std::memory_order_relaxed);
}

bool streams_output(const MixArgs& args) {
  constexpr int64_t kLine = 64;
  const int64_t row = args.hidden * element_size(args.dtype);
  const auto aligned = [](const void* p) { return reinterpret_cast<intptr_t>(p) % kLine == 0; };
  return args.batch * args.seq * row >= stream_bytes() && row % kLine == 0 && args.y != args.x &&
         aligned(args.y) && aligned(args.normalized);
}

}  // namespace fnet
