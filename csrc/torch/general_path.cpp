#include "torch/general_path.h"

#include <algorithm>
#include <array>

namespace fnet::binding {
namespace {

// torch.fft.rfft2(x), contiguous, as real pairs [..., seq, hidden / 2 + 1, 2].
Tensor rfft2_pairs(const Tensor& x) {
  using torch::stable::detail::from;
  using torch::stable::detail::to;
  std::array<StableIValue, 4> stack{from(x), from(std::optional<std::vector<int64_t>>()),
                                    from(std::vector<int64_t>{-2, -1}),
                                    from(std::optional<std::string>())};
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::fft_rfft2", "", stack.data(), TORCH_ABI_VERSION));
  TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::view_as_real", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::contiguous(to<Tensor>(stack[0]));
}

// One slice holds at least one sequence and, past that, at most this many elements.
constexpr int64_t kSliceElements = int64_t(1) << 22;

int64_t slice_of(const MixArgs& args) {
  return std::clamp<int64_t>(kSliceElements / (args.seq * args.hidden), 1, args.batch);
}

}  // namespace

int64_t general_path_bytes(const MixArgs& args, const Parallel& parallel) {
  MixArgs part = args;
  part.batch = slice_of(args);
  const int64_t numbers =
      args.hidden + 2 * (args.hidden / 2 + 1);  // a row of x, and of its spectrum
  return part.batch * args.seq * numbers * compute_size(args.dtype) +
         int64_t(mix_cpu_workspace(part, parallel.slots()));
}

void mix_by_torch_fft(const MixArgs& args, const Tensor& like, const Parallel& parallel) {
  const int64_t size = args.seq * args.hidden;
  const int64_t slice = slice_of(args);
  const int64_t wide = compute_size(args.dtype), narrow = element_size(args.dtype);
  for (int64_t b = 0; b < args.batch; b += slice) {
    MixArgs part = args;
    part.batch = std::min(slice, args.batch - b);
    part.x = advance(args.x, b * args.x_batch_stride * narrow);
    part.y = advance(args.y, b * size * narrow);
    part.normalized = advance(args.normalized, b * size * narrow);
    part.row_scale = advance(args.row_scale, b * args.seq * wide);
    part.rstd = advance(args.rstd, b * args.seq * wide);

    const Tensor x = new_empty(like, {part.batch, part.seq, part.hidden}, compute_type(args.dtype));
    widen_rows_cpu(part, x.mutable_data_ptr(), parallel);
    const Tensor spectrum = rfft2_pairs(x);
    const Tensor workspace = new_bytes(like, mix_cpu_workspace(part, parallel.slots()));
    mix_from_spectrum_cpu(part, spectrum.const_data_ptr(), workspace.mutable_data_ptr(), parallel);
  }
}

}  // namespace fnet::binding
