// Writes a table of sequences from kernel parameters.
#include <algorithm>

#include "cuda/sequence_table.h"

namespace fnet {
namespace {

// A launch has at most 4 KB of parameters.
struct Chunk {
  static constexpr int kSequences = 240;
  SequenceRows at[kSequences];
};

FNET_KERNEL_BOUNDS(256, 1)
void store_sequences_kernel(Chunk chunk, int count, SequenceRows* to) {
  if (thread_index() < count) store_global(to + thread_index(), chunk.at[thread_index()]);
}

}  // namespace

int launch_store_sequences(const SequenceRows* from, int64_t count, SequenceRows* to,
                           void* stream) {
  for (int64_t i = 0; i < count; i += Chunk::kSequences) {
    Chunk chunk = {};
    const int some = int(std::min<int64_t>(count - i, Chunk::kSequences));
    std::copy_n(from + i, some, chunk.at);
    const LaunchConfig config = {.name = "store_sequences", .block = dim3(256), .stream = stream};
    if (const int error = launch<store_sequences_kernel>(config, chunk, some, to + i)) return error;
  }
  return 0;
}

}  // namespace fnet
