// Decides which outputs use non-temporal stores.
#include <algorithm>
#include <atomic>

#include "cpu/caches.h"
#include "cpu/kernels.h"

namespace fnet {
namespace {

// Plain stores to an output larger than the caches evict useful data, and read lines only to
// overwrite them. A smaller output often reuses the memory of a tensor just freed, so its lines are
// already cached, and the next layer reads the output from the caches.
int64_t default_bytes() {
  constexpr int64_t kMin = 4 << 20;  // larger than any L2
  // A virtual machine reports the whole cache of the host: 480 MB for two cores.
  constexpr int64_t kMax = 16 << 20;
  return std::clamp(last_level_bytes() / 8, kMin, kMax);
}

// Other processors use plain stores. Arm's STNP is only a hint, and its cores detect sequential
// stores to whole lines, which then neither read lines nor fill the caches (Arm Neoverse N1
// Technical Reference Manual, "Write streaming mode").
#if defined(__x86_64__)
constexpr bool kHasNonTemporalStores = true;
#else
constexpr bool kHasNonTemporalStores = false;
#endif

std::atomic<int64_t>& limit() {
  static std::atomic<int64_t> bytes = default_bytes();
  return bytes;
}

}  // namespace

int64_t stream_bytes() { return limit().load(std::memory_order_relaxed); }

void set_stream_bytes(int64_t bytes) {
  limit().store(bytes > 0 ? bytes : default_bytes(), std::memory_order_relaxed);
}

bool streams_output(const MixArgs& args) {
  constexpr int64_t kLine = 64;
  const int64_t row = args.hidden * element_size(args.dtype);
  const auto aligned = [](const void* p) { return reinterpret_cast<intptr_t>(p) % kLine == 0; };
  const int64_t rows = std::max(args.output_rows, args.batch * args.present_rows());
  return kHasNonTemporalStores && rows * row >= stream_bytes() && row % kLine == 0 &&
         args.y != args.x && args.y != args.residual && aligned(args.y) && aligned(args.normalized);
}

}  // namespace fnet
