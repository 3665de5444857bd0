#include "torch/general_path.h"

#include <array>

namespace fnet::binding {

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

}  // namespace fnet::binding
