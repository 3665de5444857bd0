// The structs that the binding passes to the kernels, and the Status that they return. The kernels
// do not depend on torch; the caller owns all tensors and workspaces.
//
//   y = epilogue(r + scale * M(s x)),  M = transform over [seq, hidden], s = row_scale or 1,
//   r = residual or s x
//
// or, with norm_first, y = r + scale * M(Norm(x) weight + bias), r = residual or x.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "core/dtype.h"
#include "core/transform.h"

namespace fnet {

enum class Status : int32_t {
  kOk,
  kUnsupportedLength,  // the plan takes the general path, or a single pass was called for a length
                       // that has no tiles
  kUnsupportedDType,
  kMisaligned,  // CUDA: a pointer or a stride is not a multiple of 16 bytes
  kLaunchFailed,
  kUnsupportedRowScale,  // mix_cuda: row_scale is not null, and the dtype not float16
  kUnsupportedBlock,     // mix_cuda: norm_first with a row_scale or another epilogue
};

// Which kernels run a call.
enum class Path : int32_t {
  kKernels,  // this library's own FFT
  kGeneral,  // another library's FFT, between widen_rows and mix_from_spectrum
};

// Why a plan takes the general path.
enum class Reason : int32_t {
  kNone,  // it takes the kernels
  kSeq,   // no kernels for this length
  kHidden,
  kSeqAndHidden,
  kDType,
  kSharedMemory,  // the device has less shared memory than a block needs
  kSizes,         // negative, or more elements than has_valid_sizes allows
  kTransform,     // no kernels for this transform
  kForced,        // the caller requested it
};

constexpr const char* name_of(Path path) { return path == Path::kKernels ? "kernels" : "general"; }

constexpr const char* name_of(Reason reason) {
  switch (reason) {
    case Reason::kNone: return "";
    case Reason::kSeq: return "seq";
    case Reason::kHidden: return "hidden";
    case Reason::kSeqAndHidden: return "seq and hidden";
    case Reason::kDType: return "dtype";
    case Reason::kSharedMemory: return "shared memory";
    case Reason::kSizes: return "sizes";
    case Reason::kTransform: return "transform";
    case Reason::kForced: break;
  }
  return "forced";
}

enum class Epilogue : int32_t {
  kMix,       // y = scale M(x)
  kResidual,  // y = r + scale M(x)
  kNorm,      // y = Norm(r + scale M(x)) weight + bias
};

// What Norm does to a row u: (u - mean(u)) / sqrt(var(u) + eps), or u / sqrt(mean(u^2) + eps)
// (Zhang and Sennrich, Root Mean Square Layer Normalization, 2019).
enum class NormType : int32_t { kLayer, kRms };

struct MixArgs {
  const void* x = nullptr;  // [batch, seq, hidden], last stride 1, the others in elements
  int64_t batch = 0, seq = 0, hidden = 0;
  int64_t x_batch_stride = 0, x_row_stride = 0;
  // Only the CPU reads `rows`. If not 0, x and y have `rows` rows of one sequence, and the
  // remaining rows count as zeros; y, normalized and rstd end before them.
  int64_t rows = 0;
  int64_t output_rows = 0;  // of all sequences, if this call computes a part of them
  // Optional [batch, seq] in the compute type: the kernels read row_scale * x in place of x.
  // mix_cuda takes it only in float16.
  const void* row_scale = nullptr;
  Transform transform = Transform::kFourier;
  double scale = 1;

  // Optional, as x: the rows that the epilogue adds.
  const void* residual = nullptr;
  int64_t residual_batch_stride = 0, residual_row_stride = 0;

  Epilogue epilogue = Epilogue::kMix;
  // The transform reads normalised rows; the epilogue is kResidual, and row_scale null. Needs mean
  // and rstd, which the call writes.
  bool norm_first = false;
  NormType norm = NormType::kLayer;
  double eps = 0;
  const void* weight = nullptr;  // optional [hidden], as x
  const void* bias = nullptr;
  bool wide_affine = false;  // weight and bias are in the compute type; only the CPU reads them

  void* y = nullptr;           // [batch, seq, hidden], contiguous; may be x itself
  void* normalized = nullptr;  // optional, as y: the rows before weight and bias
  void* rstd = nullptr;        // optional [batch, seq] in the compute type
  void* mean = nullptr;        // norm_first: likewise; zeros for kRms
  DType dtype = DType::kFloat32;

  DType affine_dtype() const { return wide_affine ? compute_dtype(dtype) : dtype; }
  int64_t present_rows() const { return rows > 0 ? rows : seq; }
};

// One of several sequences of different lengths.
struct Sequence {
  int64_t x = 0;       // its first element in x
  int64_t row = 0;     // its first row in y
  int64_t length = 0;  // its rows
  int64_t seq = 0;     // the length of its transform, at least `length`
  int64_t end = 0;     // y has zeros in its rows from row + length to here
  double scale = 1;
};

// The mix of one sequence that is not empty. x, y, normalized, rstd and row_scale of `all` begin at
// row 0.
inline MixArgs args_of(const MixArgs& all, const Sequence& sequence) {
  const auto after = [](auto* p, int64_t bytes) {
    using Byte =
        std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(p)>>, const char, char>;
    return p ? static_cast<Byte*>(p) + bytes : nullptr;
  };
  const int64_t narrow = element_size(all.dtype), wide = compute_size(all.dtype);
  const int64_t element = sequence.row * all.hidden;
  MixArgs args = all;
  args.batch = 1;
  args.seq = sequence.seq;
  args.rows = sequence.length;
  args.scale = sequence.scale;
  args.x = after(all.x, sequence.x * narrow);
  args.y = after(all.y, element * narrow);
  args.normalized = after(all.normalized, element * narrow);
  args.rstd = after(all.rstd, sequence.row * wide);
  args.row_scale = after(all.row_scale, sequence.row * wide);
  return args;
}

// Whether no size is negative and byte counts of [batch, seq, hidden] fit into int64_t, with room
// for the workspace. Empty axes count as 1.
constexpr bool has_valid_sizes(const MixArgs& args) {
  int64_t left = int64_t(1) << 56;
  for (const int64_t size : {args.batch, args.seq, args.hidden}) {
    if (size < 0 || size > left) return false;
    if (size > 0) left /= size;
  }
  return true;
}

// LayerNorm's gradient for rows [rows, hidden], as the backward pass of the mixing reads it:
//   dweight = sum_rows grad * normalized;  dbias = sum_rows grad;  du, or du / rstd without rstd.
// du / rstd has the range of grad * weight, so float16 does not overflow before that product does.
// Other dtypes can store du itself, which saves the following kernels a factor per row.
//
// With `mean` the rows are not normalised yet: `normalized` holds x, normalized = (x - mean) rstd,
// and residual, the gradient that bypasses the norm, is added to du. du may be grad itself.
struct NormGradArgs {
  const void* grad = nullptr;
  const void* normalized = nullptr;
  const void* weight = nullptr;    // optional
  const void* rstd = nullptr;      // optional [rows] in the compute type
  const void* mean = nullptr;      // optional [rows] likewise; needs rstd
  const void* residual = nullptr;  // with mean: as grad
  NormType norm = NormType::kLayer;
  int64_t rows = 0, hidden = 0;
  void* du = nullptr;        // du / rstd if rstd is null
  void* dweight = nullptr;   // optional [hidden]
  void* dbias = nullptr;     // optional [hidden]
  bool wide_affine = false;  // weight, dweight and dbias are in the compute type; CPU only
  DType dtype = DType::kFloat32;

  DType affine_dtype() const { return wide_affine ? compute_dtype(dtype) : dtype; }
};

}  // namespace fnet
