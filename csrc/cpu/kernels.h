// The kernels of one instruction set as a table of functions, so that one build runs on any
// machine.
#pragma once

#include "cpu/api.h"
#include "cpu/long_shape.h"

namespace fnet {

// Whether y and normalized use non-temporal stores: if the processor has them, the outputs are
// large and rows are whole cache lines. In place this does not pay, because y is already cached.
bool streams_output(const MixArgs& args);

// The arguments of a mix and the data that all sequences of the batch share.
struct MixTask {
  const MixArgs* args;
  const void* seq_plan;         // LinePlan<compute type>; null for an axis without a line
  const void* hidden_plan;      // LinePlan; RealLinePlan if lanes hold rows that has_real_line()
  const void* weight;           // [hidden] in the compute type, ones if the user passes none
  const void* bias;             // likewise, zeros; with norm_first times scale / 4
  bool streams;                 // y uses non-temporal stores
  const void* zeros = nullptr;  // a row of x; null if all rows of x are present
};

// How finely work is split. Whole tiles use full vectors and are folded in groups. Fine tiles are
// folded alone and are half as wide where vectors have 64 bytes, so more slots get work and each
// needs less scratch. Lanes of whole sequences are halved likewise. Both give the same bits.
enum class Tiles { kWhole, kFine };

// The tiles of one pass of a sequence, and the scratch of one slot: a multiple of 64 bytes, aligned
// to 64. The tiles after the first `full` ones take little time.
struct PassTiles {
  int64_t count, full, scratch_bytes;
};

// The sequences that fill the lanes of a vector, and the scratch for them, likewise.
struct LaneGroup {
  int lanes;
  int64_t scratch_bytes;
};
// The time of a group of half vectors over that of one of whole vectors.
inline constexpr double kHalfGroupTime = 0.65;

// A mix of sequences with a long axis, and its plans.
struct LongTask {
  const MixTask* mix;
  LongShape shape;
  const void* plan;     // LinePlan of the short axis
  const void* split;    // SplitPlan of the long one
  int64_t line_places;  // of the line in the scratch
};

struct Kernels {
  const char* name;
  int width(DType dtype) const { return dtype == DType::kFloat64 ? width64 : width32; }
  int width32, width64;

  PassTiles (*seq_pass)(DType, int64_t seq, int64_t hidden, Tiles);
  PassTiles (*row_pass)(DType, int64_t seq, int64_t hidden, Tiles);
  // Scratch of spectrum_rows, likewise.
  int64_t (*spectrum_rows_bytes)(DType, int64_t hidden);
  LaneGroup (*lane_group)(DType, int64_t seq, int64_t hidden, Tiles);

  // Transform tiles [begin, end) of sequence b: 2 W columns of x to G, 2 W rows of G to y.
  void (*seq_tiles)(const MixTask&, int64_t b, void* G, Tiles, int64_t begin, int64_t end,
                    void* scratch);
  void (*row_tiles)(const MixTask&, int64_t b, const void* G, Tiles, int64_t begin, int64_t end,
                    void* scratch);
  // Both passes of sequences [begin, end), a group of lanes at a time.
  void (*sequences)(const MixTask&, Tiles, int64_t begin, int64_t end, void* scratch);
  // Pieces [begin, end) of a phase of sequence b, and the scratch of one slot, likewise. Between
  // the phases `buffer` holds shape.numbers(): lines, then rows.
  void (*long_pieces)(const LongTask&, int64_t b, void* buffer, LongPhase phase, int64_t begin,
                      int64_t end, void* scratch);
  int64_t (*long_bytes)(DType dtype, const LongShape& shape, int64_t line_places);
  // Compute row pairs k and -k, k in [begin, end), of sequence b from its one-sided spectrum.
  void (*spectrum_rows)(const MixTask&, int64_t b, const void* spectrum, int64_t begin, int64_t end,
                        void* scratch);
  // The mean and rstd of rows [begin, end) of x in sequence b.
  void (*row_statistics)(const MixArgs&, int64_t b, int64_t begin, int64_t end);
  // The norm's gradient for rows [begin, end), added to dweight, dbias: a chunk's sums, or null.
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
