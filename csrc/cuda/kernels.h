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
template <class T>
struct SeqFftArgs {
  const T* x;
  int64_t batch_stride, row_stride;
  Complex<float>* spectrum;  // [batch, 2, seq / 2, pitch]
  int64_t batch;
  int seq, hidden, pitch;
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

  const T* x;
  int64_t batch_stride, row_stride;
  Epilogue epilogue;
  float scale, eps;        // scale: a quarter of the user's; fold and unpacking double
  const T *weight, *bias;  // [hidden], or null
  T* y;                    // [batch, seq, hidden], not x
  T* normalized;           // or null
  float* rstd;             // [batch, seq], or null
};

// The backward pass of LayerNorm(x + scale M(x)) transforms rows first, because LayerNorm's
// gradient reads whole rows, then columns. dx = du + scale M(du), because M is its own adjoint.

// row_grad, the first kernel of the backward pass, computes du, its fold, the transform along
// hidden, packed as above, and the first butterflies along seq:
//
//   F[p, n, j] = H[n, 2j] + i H[n, 2j + 1] + (-1)^p (H[n + N/2, 2j] + i H[n + N/2, 2j + 1]),
//   H[n, m] = 2 sum_l g[n, l] w_d^{lm},  n = 0..N/2-1.
template <class T>
struct RowGradArgs {
  const T *grad, *normalized;  // [batch, seq, hidden]
  const float* rstd;           // [batch, seq]
  const T* weight;             // [hidden], or null
  T* du;                       // [batch, seq, hidden]
  Complex<float>* spectrum;    // [batch, 2, seq / 2, pitch]
  float* partials;             // [grid_size, 2, hidden]: sums for dweight and dbias; or null
  bool overwrite;              // partials are written, not added to
  int64_t batch, grid_size;
  int iterations;  // lines per thread, one after another
  int seq, hidden, pitch;
  unsigned* flags;  // [flag_count]: set to 0, for seq_grad
  int64_t flag_count;
};

// seq_grad, the second kernel, completes the transform along seq, beginning with the factors
// w_N^{pn}, and adds du. dx[2k + p] depends only on F[p].
template <class T>
struct SeqGradArgs {
  const Complex<float>* spectrum;  // [batch, 2, seq / 2, pitch]
  float* edges;                    // [batch, 2, tiles, seq / 2]: the first column of each tile
  unsigned* flags;                 // [batch, 2, tiles]: 1 after the edge is written; 0 before
  float scale;                     // a quarter of the user's: fold and unpacking double
  T* dx;                           // [batch, seq, hidden]: du becomes dx
  int64_t batch;
  int seq, hidden, pitch;
};

// shape: an index in lengths.h, from a plan. Pointers and strides of x are aligned to 16 bytes.
template <class T>
int launch_seq_fft(const SeqFftArgs<T>& args, int shape, void* stream);
template <class T>
int launch_row_fft(const RowFftArgs<T>& args, int shape, void* stream);
template <class T>
int launch_row_grad(const RowGradArgs<T>& args, int shape, void* stream);
template <class T>
int launch_seq_grad(const SeqGradArgs<T>& args, int shape, void* stream);

// The kernels for all lengths, alignments and dtypes: see NormGradArgs, widen_rows_cuda and
// mix_from_spectrum_cuda. partials: [chunks, 2, hidden] in the compute type, or null.
constexpr int64_t norm_grad_chunk_rows(int64_t rows) {
  const int64_t fair = (rows + 1023) / 1024;  // at most 1024 chunks to add up
  return fair < 32 ? 32 : fair > 128 ? 128 : fair;
}
constexpr int64_t norm_grad_chunks(int64_t rows) {
  return (rows + norm_grad_chunk_rows(rows) - 1) / norm_grad_chunk_rows(rows);
}
template <class T>
int launch_norm_grad(const NormGradArgs& args, void* partials, void* stream);
// dweight and dbias (each may be null) from partials [chunks, 2, hidden], added in order.
template <class T>
int launch_add_chunks(const Compute<T>* partials, int64_t chunks, int64_t hidden, T* dweight,
                      T* dbias, void* stream);
template <class T>
int launch_widen_rows(const MixArgs& args, void* wide, void* stream);
template <class T>
int launch_spectrum_rows(const MixArgs& args, const void* spectrum, void* stream);

}  // namespace fnet
