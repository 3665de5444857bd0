// The CUDA kernels and their arguments. Each launch returns 0 or a cudaError_t as an int.
#pragma once

#include "core/args.h"
#include "fft/complex.h"

namespace fnet {

// seq_fft, the first kernel, folds x with its mirror image and transforms columns along seq, even
// rows (p = 0) and odd rows (p = 1) separately.
//
//   F[p, k, j] = w_N^{pk} sum_i (g[2i + p, 2j] + i g[2i + p, 2j + 1]) w_{N/2}^{ki},
//   g[n, m] = x[n, m] + x[-n, -m],
//
// for k = 0..N/2-1 and j = 0..d/4: two real columns in one complex line. The last butterflies,
//
//   F[k] = F[0, k] + F[1, k],  F[k + N/2] = F[0, k] - F[1, k],
//
// belong to the second kernel, which also separates the spectra of the two columns; both need rows
// -k next to rows k. With lines of only N/2 numbers a block covers whole sectors of x.
//
// A launch takes sequences that are batch_stride apart, or those of a table.
struct alignas(16) SequenceRows {
  int64_t x;          // its first element in x
  int32_t row, rows;  // its first row in y, and its rows, which zeros extend to args.seq
};

struct alignas(8) RowStatistics {
  float mean, rstd;
};
// Where the statistics of row n of a sequence lie: even rows come first, because a block of seq_fft
// reads either even or odd rows, and neighbours share sectors.
constexpr int statistics_index(int n, int seq) { return n % 2 * (seq / 2) + n / 2; }

template <class T>
inline constexpr bool kHasRowScale = std::is_same_v<T, Float16>;

template <class T>
struct SeqFftArgs {
  const T* x;
  int64_t batch_stride, row_stride;
  Complex<float>* spectrum;  // [batch, 2, seq / 2, pitch]
  int64_t batch;
  int seq, hidden, pitch;
  bool x_is_new;  // the previous kernel of the stream writes x or its statistics, and may still run

  // With statistics the kernel reads (x - mean) rstd weight + bias in place of x. At most one of
  // these two is not null.
  const RowStatistics* statistics = nullptr;   // [batch, seq], by statistics_index
  const SequenceRows* sequences = nullptr;     // [batch]
  const T *weight = nullptr, *bias = nullptr;  // optional [hidden], with statistics

  // Whether the kernel for rows that are not read as they are runs.
  bool is_adapted() const { return statistics || sequences; }
};

// The number of lines of the packed spectrum, and its pitch in whole 32-byte sectors.
constexpr int spectrum_lines(int hidden) { return hidden / 4 + 1; }
constexpr int spectrum_pitch(int hidden) { return (spectrum_lines(hidden) + 3) / 4 * 4; }

// row_fft, the second kernel, computes rows of y from the packed spectrum. A line takes rows k and
// k + N/2, k = 0..N/4, and also yields their mirror images.
constexpr int row_lines(int64_t seq) { return int(seq / 4) + 1; }
template <class T>
struct RowFftArgs {
  const Complex<float>* spectrum;  // [batch, 2, seq / 2, pitch]
  int64_t batch;
  int seq, hidden, pitch;

  const T* x;  // the rows that the epilogue adds
  int64_t batch_stride, row_stride;
  Epilogue epilogue;
  NormType norm;
  float scale, eps;                  // scale: a quarter of the user's; fold and unpacking double
  const T *weight, *bias;            // [hidden], or null
  const float* row_scale = nullptr;  // [batch, seq], or null: row_scale * x in place of x; float16
  T* y;                              // [batch, seq, hidden]; may be x
  T* normalized;                     // or null
  float* rstd;                       // [batch, seq], or null
  const SequenceRows* sequences = nullptr;  // [batch], or null; without row_scale
};

// row_statistics computes mean (0 for RMSNorm) and 1 / deviation of each row, for x + scale
// M(Norm(x)). A row has at most 16 KB and whole vectors of 16 bytes, aligned.
template <class T>
struct RowStatisticsArgs {
  const T* x;
  int64_t batch_stride, row_stride;
  int64_t batch;
  int seq, hidden;
  NormType norm;
  float eps;
  RowStatistics* statistics;  // [batch, seq], by statistics_index
  float *mean, *rstd;         // [batch, seq], for the backward pass
};

// The backward pass of LayerNorm(x + scale M(x)) is norm_grad, which computes du, and the first two
// kernels: dx = du + scale M(du), because M is its own adjoint. That of x + scale M(LayerNorm(x))
// is the first two kernels, which mix the gradient, and norm_grad.

// How a launch follows the previous kernel of the stream. kOverlaps: it starts when the blocks of
// that kernel have started, and the kernel awaits its end before it reads or overwrites anything
// that it used (programmatic dependent launch; device.h). Only kernels that await it may be
// launched so, and the previous kernel must be one of the same call.
enum class Order { kAfter, kOverlaps };

// cudaErrorInvalidValue.
inline constexpr int kNoShape = 1;

// shape: an index in lengths.h, from a plan; kNoShape if T has none of this index. Pointers and
// strides of x are aligned to 16 bytes.
template <class T>
int launch_seq_fft(const SeqFftArgs<T>& args, int shape, Order order, void* stream);
template <class T>
int launch_row_fft(const RowFftArgs<T>& args, int shape, Order order, void* stream);
// Copies a table to the device, in the parameters of kernels: a CUDA graph can capture it.
int launch_store_sequences(const SequenceRows* from, int64_t count, SequenceRows* to, void* stream);

// Rows [begin, end) of each tensor.
struct RowRange {
  int64_t begin, end;
};
struct ClearedTensors {
  struct Rows {
    char* data;     // of row 0, aligned to 2 bytes
    int64_t bytes;  // of a row, a multiple of 2
  };
  Rows at[3] = {};
  int count = 0;

  // Null stands for no tensor.
  void add(void* data, int64_t bytes) {
    if (data) at[count++] = {static_cast<char*>(data), bytes};
  }
};
// Writes zeros to ranges of rows.
int launch_clear_rows(const RowRange* ranges, int64_t count, const ClearedTensors& tensors,
                      void* stream);

template <class T>
int launch_row_statistics(const RowStatisticsArgs<T>& args, Order order, void* stream);
// The statistics of rows that are only multiplied: 0 and row_scale [batch, seq].
int launch_scale_statistics(const float* row_scale, int64_t batch, int seq,
                            RowStatistics* statistics, Order order, void* stream);

// LayerNorm's gradient for all lengths, alignments and dtypes; see NormGradArgs. A block takes a
// chunk of rows. partials: [chunks, 2, hidden] in the compute type, the sums of each chunk for
// dweight and dbias; or null.
constexpr int64_t norm_grad_chunk_rows(int64_t rows) {
  const int64_t fair = (rows + 255) / 256;
  return fair < 32 ? 32 : fair > 128 ? 128 : fair;
}
constexpr int64_t norm_grad_chunks(int64_t rows) {
  return (rows + norm_grad_chunk_rows(rows) - 1) / norm_grad_chunk_rows(rows);
}
template <class T>
int launch_norm_grad(const NormGradArgs& args, void* partials, Order order, void* stream);
// dweight and dbias (each may be null) from partials [chunks, 2, hidden], added in order.
template <class T>
int launch_add_chunks(const Compute<T>* partials, int64_t chunks, int64_t hidden, T* dweight,
                      T* dbias, void* stream);

// The general path's kernels, for all lengths, alignments and dtypes: see widen_rows_cuda and
// mix_from_spectrum_cuda.
template <class T>
int launch_widen_rows(const MixArgs& args, void* wide, void* stream);
template <class T>
int launch_spectrum_rows(const MixArgs& args, const void* spectrum, void* stream);

}  // namespace fnet
