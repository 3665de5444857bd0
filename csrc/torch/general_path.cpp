#include "torch/general_path.h"

#include <array>
#include <exception>

namespace fnet::binding {

namespace {

Tensor call_rfft2(const Tensor& x) {
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

}  // namespace

Tensor rfft2_pairs(const Tensor& x) {
  try {
    return call_rfft2(x);
  } catch (const std::exception&) {
    fail(
        "fnet_kernels: torch.fft.rfft2, which replaces missing kernels, failed for shape [",
        x.size(0), ", ", x.size(1), ", ", x.size(2),
        "]. Either memory is exhausted or torch has no "
        "working FFT library (MKL or pocketfft on a CPU, cuFFT on CUDA); test torch.fft.rfft2 with "
        "a small tensor. ",
        torch_message());
  }
}

}  // namespace fnet::binding
