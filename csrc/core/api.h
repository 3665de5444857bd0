// The kernel API, whole: plain structs in, Status out. Nothing below this line of the project knows
// torch, and tensors and workspaces are the caller's. (On a CPU the tables of a length are made at
// its first use and kept; that alone allocates.)
//
//   y = epilogue(s x + scale * M(s x)),  M(x) = Re(FFT2(x)) over [seq, hidden], s = row_scale or 1
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace fnet {

enum class Status : int32_t {
  kOk,
  kUnsupportedLength,  // seq or hidden has a prime factor above 13: take the general path
  kUnsupportedDType,
  kMisaligned,  // CUDA: a pointer or a stride is not a multiple of 16 bytes
  kLaunchFailed,
  kInPlace,  // mix_cuda: y is x
};

enum class Epilogue : int32_t {
  kMix,       // y = scale M(x)
  kResidual,  // y = x + scale M(x)
  kNorm,      // y = LayerNorm(x + scale M(x)) weight + bias
};

struct MixArgs {
  const void* x = nullptr;  // [batch, seq, hidden], last stride 1, the others in elements
  int64_t batch = 0, seq = 0, hidden = 0;
  int64_t x_batch_stride = 0, x_row_stride = 0;
  // Optional [batch, seq] in the compute type: x stands for row_scale * x. Not with mix_cuda.
  const void* row_scale = nullptr;
  double scale = 1;

  Epilogue epilogue = Epilogue::kMix;
  double eps = 0;
  const void* weight = nullptr;  // optional [hidden], as x
  const void* bias = nullptr;

  void* y = nullptr;           // [batch, seq, hidden], contiguous; may be x itself, but in mix_cuda
  void* normalized = nullptr;  // optional, as y: the rows before weight and bias
  void* rstd = nullptr;        // optional [batch, seq] in the compute type
  DType dtype = DType::kFloat32;
};

// LayerNorm's gradient for rows [rows, hidden], in the form that the mixing takes back:
//   du = rstd * du_over_rstd;  dweight = sum_rows grad * normalized;  dbias = sum_rows grad.
// du_over_rstd has the range of grad, so that float16 neither overflows nor underflows. Where the
// dtype has range enough, du itself saves the kernels that follow a factor for each row.
struct NormGradArgs {
  const void* grad = nullptr;
  const void* normalized = nullptr;
  const void* weight = nullptr;  // optional
  const void* rstd = nullptr;  // optional [rows] in the compute type: du is written, not du / rstd
  int64_t rows = 0, hidden = 0;
  void* du_over_rstd = nullptr;
  void* dweight = nullptr;  // optional [hidden]
  void* dbias = nullptr;    // optional [hidden]
  DType dtype = DType::kFloat32;
};

// How a kernel runs its slots 0..slots-1: at once or one by one, as the caller's thread pool likes.
// Results do not depend on the number of slots.
class Parallel {
 public:
  using Body = void (*)(void* context, int slot);
  using Run = void (*)(int slots, Body body, void* context);
  Parallel(int slots, Run run) : slots_(slots), run_(run) {}

  int slots() const { return slots_; }

  // body(slot) for each slot; returns when all are done.
  template <class F>
  void each(const F& body) const {
    run_(
        slots_, [](void* context, int slot) { (*static_cast<const F*>(context))(slot); },
        const_cast<F*>(&body));
  }

 private:
  int slots_;
  Run run_;
};

// Whether mix_part_cpu takes these lengths; otherwise the general path does.
bool has_own_kernels(const MixArgs& args);

// The kernels of one instruction set; active_kernels() are those in use (see set_cpu_isa). A caller
// asks once, since the workspace that kernels need is theirs alone.
struct Kernels;
const Kernels& active_kernels();

// Outputs of so many bytes and more are written past the caches: by default an eighth of the last
// cache, but 4 MB at least and 16 MB at most. Setting 0 brings the default back.
int64_t stream_bytes();
void set_stream_bytes(int64_t bytes);

// Scratch that the caller brings, for either path; any alignment up to 64 is made inside.
size_t mix_cpu_workspace(const MixArgs& args, int slots, const Kernels& = active_kernels());
size_t norm_grad_cpu_workspace(const NormGradArgs& args);

// So many sequences are in work at a time: one in each slot, or one that all share.
int mix_cpu_sequences(const MixArgs& args, int slots, const Kernels& = active_kernels());

// Sequences [begin, end) of the batch, of which the caller may bring several parts in any order.
[[nodiscard]] Status mix_part_cpu(const MixArgs& args, int64_t begin, int64_t end, void* workspace,
                                  const Parallel& parallel, const Kernels& = active_kernels());

// The gradient in parts, for a caller that wants du while it is in the caches: chunks [begin, end)
// of norm_grad_chunks().count, each of so many rows, in any parts and order; last, the sums.
struct NormGradChunks {
  int64_t rows, count;
};
NormGradChunks norm_grad_chunks(const NormGradArgs& args);
void norm_grad_part_cpu(const NormGradArgs& args, int64_t begin, int64_t end, void* workspace,
                        const Parallel& parallel);
void norm_grad_sums_cpu(const NormGradArgs& args, void* workspace);

// The general path, in two halves around a library's FFT, for lengths that mix_part_cpu does not
// take. First: wide <- row_scale * x, contiguous in the compute type.
void widen_rows_cpu(const MixArgs& args, void* wide, const Parallel& parallel);
// Second: from the one-sided FFT2 of that, [batch, seq, hidden / 2 + 1] complex in the compute
// type, contiguous, to y by the kernels' own mirror and epilogue.
void mix_from_spectrum_cpu(const MixArgs& args, const void* spectrum, void* workspace,
                           const Parallel& parallel, const Kernels& = active_kernels());

// The same on a CUDA device: the current one, on a stream, without waiting. Pointers are the
// device's.
struct CudaDevice {
  int processors = 132;                  // multiprocessors
  int shared_bytes = 227 << 10;          // shared memory that a block may ask for
  int64_t l2_bytes = int64_t(50) << 20;  // second-level cache
};
struct CudaQueue {
  void* stream = nullptr;  // a cudaStream_t
  CudaDevice device;
  mutable int error = 0;  // the cudaError_t behind kLaunchFailed
};

// Whether mix_cuda has kernels for these lengths and this dtype that the device has the shared
// memory for, and takes these addresses.
bool has_cuda_kernels(const MixArgs& args, const CudaDevice& device);
bool is_aligned_for_cuda(const MixArgs& args);

// A batch is worked on in so many slices.
int64_t mix_cuda_slices(const MixArgs& args, const CudaDevice& device);
size_t mix_cuda_workspace(const MixArgs& args, const CudaDevice& device);
size_t norm_grad_cuda_workspace(const NormGradArgs& args);

Status mix_cuda(const MixArgs& args, void* workspace, const CudaQueue& queue);  // no row_scale
Status norm_grad_cuda(const NormGradArgs& args, void* workspace, const CudaQueue& queue);

// The backward whole, for what has_cuda_kernels takes: with du of norm (whose rstd is needed, and
// which says where dweight and dbias go), args.y <- du + scale M(du). Of args, the shape, the
// dtype, scale and y count. Tensors are aligned to 16 bytes.
size_t norm_mix_grad_cuda_workspace(const NormGradArgs& norm, const MixArgs& args,
                                    const CudaDevice& device);
Status norm_mix_grad_cuda(const NormGradArgs& norm, const MixArgs& args, void* workspace,
                          const CudaQueue& queue);

// The general path's halves; any lengths, dtypes and addresses.
Status widen_rows_cuda(const MixArgs& args, void* wide, const CudaQueue& queue);
Status mix_from_spectrum_cuda(const MixArgs& args, const void* spectrum, const CudaQueue& queue);

// Instruction sets. cpu_isa() is the name in use; set_cpu_isa("auto") takes the best of this
// machine and returns false for a name that it cannot run. cpu_isas() lists those it can, best
// first.
const char* cpu_isa();
const char* cpu_isas();
bool set_cpu_isa(const char* name);

}  // namespace fnet
