// Writes zeros to the rows past the lengths of sequences.
#include "cuda/device.h"
#include "cuda/kernels.h"
#include "cuda/parameter_table.h"

namespace fnet {
namespace {

constexpr int kThreads = 256, kUnit = 16;
constexpr int64_t kBlockBytes = 4 * kThreads * kUnit;

// blockIdx.y: the range of rows. blockIdx.z: the tensor. A thread takes units of 16 aligned bytes.
// Units at the ends of a range belong to other rows too.
FNET_KERNEL_BOUNDS(kThreads, 1)
void clear_rows_kernel(ParameterTable<RowRange> ranges, ClearedTensors tensors) {
  const RowRange range = ranges.at[blockIdx.y];
  const ClearedTensors::Rows rows = tensors.at[blockIdx.z];
  char* const begin = rows.data + range.begin * rows.bytes;
  char* const end = rows.data + range.end * rows.bytes;
  char* const first = begin - reinterpret_cast<uintptr_t>(begin) % kUnit;
  const int64_t thread = int64_t(blockIdx.x) * kThreads + thread_index();
  const int64_t step = int64_t(gridDim.x) * kThreads * kUnit;
  for (char* unit = first + thread * kUnit; unit < end; unit += step) {
    char* const unit_end = unit + kUnit;
    if (unit >= begin && unit_end <= end) {
      store_global<Cache::kStreaming>(reinterpret_cast<float*>(unit), Vec<float, 4>{});
      continue;
    }
    for (char* at = unit < begin ? begin : unit; at < (unit_end < end ? unit_end : end); at += 2)
      store_global<Cache::kStreaming>(reinterpret_cast<uint16_t*>(at), 0);
  }
}

}  // namespace

int launch_clear_rows(const RowRange* ranges, int64_t count, const ClearedTensors& tensors,
                      void* stream) {
  int64_t widest = 0;
  for (int i = 0; i < tensors.count; ++i) widest = std::max(widest, tensors.at[i].bytes);
  return each_part(ranges, count, [&](const auto& part, int64_t, int some) {
    int64_t most = 0;
    for (int i = 0; i < some; ++i) most = std::max(most, part.at[i].end - part.at[i].begin);
    const int64_t blocks = (most * widest + kBlockBytes - 1) / kBlockBytes;
    if (blocks == 0) return 0;
    return launch<clear_rows_kernel>(
        {.name = "clear_rows",
         .grid = dim3(unsigned(blocks), unsigned(some), unsigned(tensors.count)),
         .block = dim3(kThreads),
         .stream = stream},
        part, tensors);
  });
}

}  // namespace fnet
