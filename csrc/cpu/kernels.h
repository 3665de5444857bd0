// The kernels of one instruction set as a table of functions, so that one build runs on any
// machine.
#pragma once

#include "cpu/api.h"

namespace fnet {

// Whether y and normalized use non-temporal stores: if the processor has them, the outputs are
// large and rows are whole cache lines. In place this does not pay, because y is already cached.
bool streams_output(const MixArgs& args);

// The arguments of a mix and the data that all sequences of the batch share.
struct MixTask {
  const MixArgs* args;
  const void* seq_plan;  // LinePlan<compute type>; null on the general path
  const void* hidden_plan;
  const void* weight;  // [hidden] in the compute type, ones if the user passes none
  const void* bias;    // likewise, zeros
  bool streams;        // y uses non-temporal stores
};

struct Kernels {
  const char* name;
  int width(DType dtype) const { return dtype == DType::kFloat64 ? width64 : width32; }
  int width32, width64;

  // Scratch of one slot for the calls below: a multiple of 64 bytes, aligned to 64. Only
  // spectrum_rows needs no lines.
  int64_t (*scratch_bytes)(DType dtype, int64_t seq, int64_t hidden, bool has_lines);

  // Transform tiles [begin, end) of sequence b: 2 W columns of x to G, 2 W rows of G to y.
  void (*seq_tiles)(const MixTask&, int64_t b, void* G, int64_t begin, int64_t end, void* scratch);
  void (*row_tiles)(const MixTask&, int64_t b, const void* G, int64_t begin, int64_t end,
                    void* scratch);
  // Compute row pairs k and -k, k in [begin, end), of sequence b from its one-sided spectrum.
  void (*spectrum_rows)(const MixTask&, int64_t b, const void* spectrum, int64_t begin, int64_t end,
                        void* scratch);
  // LayerNorm's gradient for rows [begin, end); dweight, dbias: this chunk's sums, or null.
  void (*norm_grad_rows)(const NormGradArgs&, const void* weight, int64_t begin, int64_t end,
                         void* dweight, void* dbias);
  // Replaces the points of a line, [place][re, im][W], by its DFT: the passes' transform alone, for
  // tests. `line` has line_extent(length) places and is aligned to 64.
  void (*line_fft)(DType dtype, const void* plan, void* line);
};

const Kernels& portable_kernels();
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& neon_kernels();
const Kernels& neon_bf16_kernels();

}  // namespace fnet
