// Writes a table of sequences from kernel parameters.
#include "cuda/parameter_table.h"
#include "cuda/sequence_table.h"

namespace fnet {
namespace {

constexpr int kThreads = 256;
static_assert(ParameterTable<SequenceRows>::kEntries <= kThreads);

FNET_KERNEL_BOUNDS(kThreads, 1)
void store_sequences_kernel(ParameterTable<SequenceRows> part, int count, SequenceRows* to) {
  if (thread_index() < count) store_global(to + thread_index(), part.at[thread_index()]);
}

}  // namespace

int launch_store_sequences(const SequenceRows* from, int64_t count, SequenceRows* to,
                           void* stream) {
  return each_part(from, count, [&](const auto& part, int64_t begin, int some) {
    return launch<store_sequences_kernel>(
        {.name = "store_sequences", .block = dim3(kThreads), .stream = stream}, part, some,
        to + begin);
  });
}

}  // namespace fnet
