// Stands in for the CUDA kernels of float16 in builds for checks. They are those of bfloat16 with
// other conversions.
#include "cuda/kernels.h"

namespace fnet {
template <>
int launch_seq_fft(const SeqFftArgs<Float16>&, int, Order, void*) {
  return -1;
}
template <>
int launch_row_fft(const RowFftArgs<Float16>&, int, Order, void*) {
  return -1;
}
}  // namespace fnet
