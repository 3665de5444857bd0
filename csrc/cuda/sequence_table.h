// Where the sequences of a launch lie.
#pragma once

#include "cuda/device.h"
#include "cuda/kernels.h"

namespace fnet {

// Sequence b of the arguments of seq_fft or row_fft.
template <class Args>
FNET_DEVICE SequenceRows sequence_rows(const Args& args, int64_t b) {
  if (args.sequences) return load_global(args.sequences + b);
  return {b * args.batch_stride, int(b) * args.seq, args.seq};
}

}  // namespace fnet
