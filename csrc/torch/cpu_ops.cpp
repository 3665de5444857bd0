// The ops on the CPU, and what Python asks about the build.
#include <algorithm>
#include <string>

#include "fft/radices.h"
#include "torch/general_path.h"
#include "torch/tensors.h"

namespace fnet::binding {
namespace {

// Below this many elements a slot is not worth waking a thread for.
constexpr int64_t kElementsPerSlot = 1 << 14;

// Elements that the backward pass of one slot takes at a time: their du stays in its L2.
constexpr int64_t kBackwardSlice = 1 << 19;

// Slots on torch's own pool. Each writes to its own scratch, so a nested call may run them in turn.
Parallel torch_parallel(int64_t elements) {
  const int64_t threads = torch::stable::get_num_threads();
  const int slots = int(std::clamp<int64_t>(elements / kElementsPerSlot, 1, threads));
  return Parallel(slots, [](int count, Parallel::Body body, void* context) {
    if (count == 1) return body(context, 0);
    torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t slot = begin; slot < end; ++slot) body(context, int(slot));
    });
  });
}

Parallel mix_parallel(const MixArgs& args) {
  return torch_parallel(args.batch * args.seq * args.hidden);
}

void run_mix(const MixArgs& args, const Tensor& like) {
  if (is_empty(args)) return;
  const Parallel parallel = mix_parallel(args);
  if (!has_own_kernels(args)) return mix_by_torch_fft(args, like, parallel);
  const Tensor workspace = new_bytes(like, mix_cpu_workspace(args, parallel.slots()));
  mix_cpu(args, workspace.mutable_data_ptr(), parallel);
}

Tensor fourier_mix(Tensor x, double scale, bool residual) {
  const char* op = "fourier_mix";
  const Rows in(op, x);
  const Tensor y = new_empty(x, sizes_of(x), x.scalar_type());
  MixArgs args = mix_args(in, dtype_of(op, x.scalar_type()), scale);
  args.epilogue = residual ? Epilogue::kResidual : Epilogue::kMix;
  args.y = y.mutable_data_ptr();
  run_mix(args, x);
  return y;
}

struct NormOutputs {
  Tensor y, normalized, rstd;
};

NormOutputs run_norm(const char* op, const Tensor& x, const std::optional<Tensor>& weight,
                     const std::optional<Tensor>& bias, double eps, double scale, bool train) {
  const Rows in(op, x);
  const DType dtype = dtype_of(op, x.scalar_type());
  check_affine(op, "weight", weight, x, in.hidden);
  check_affine(op, "bias", bias, x, in.hidden);
  const std::optional<Tensor> w = contiguous(weight), b = contiguous(bias);
  const bool keep = train && (w || b);

  std::vector<int64_t> rows = sizes_of(x);
  rows.pop_back();
  NormOutputs out{new_empty(x, sizes_of(x), x.scalar_type()),
                  new_empty(x, keep ? sizes_of(x) : std::vector<int64_t>{0}, x.scalar_type()),
                  new_empty(x, train ? rows : std::vector<int64_t>{0}, compute_type(dtype))};
  MixArgs args = mix_args(in, dtype, scale);
  args.epilogue = Epilogue::kNorm;
  args.eps = eps;
  args.weight = data_or_null(w);
  args.bias = data_or_null(b);
  args.y = out.y.mutable_data_ptr();
  args.normalized = keep ? out.normalized.mutable_data_ptr() : nullptr;
  args.rstd = train ? out.rstd.mutable_data_ptr() : nullptr;
  run_mix(args, x);
  return out;
}

Tensor fused_fourier_mix(Tensor x, std::optional<Tensor> weight, std::optional<Tensor> bias,
                         double eps, double scale) {
  return run_norm("fused_fourier_mix", x, weight, bias, eps, scale, false).y;
}

std::tuple<Tensor, Tensor, Tensor> fused_fourier_mix_train(Tensor x, std::optional<Tensor> weight,
                                                           std::optional<Tensor> bias, double eps,
                                                           double scale) {
  NormOutputs out = run_norm("fused_fourier_mix_train", x, weight, bias, eps, scale, true);
  return {out.y, out.normalized, out.rstd};
}

std::tuple<Tensor, Tensor, Tensor> fused_fourier_mix_backward(Tensor grad, Tensor normalized,
                                                              Tensor rstd,
                                                              std::optional<Tensor> weight,
                                                              double scale, bool need_weight,
                                                              bool need_bias) {
  const char* op = "fused_fourier_mix_backward";
  grad = torch::stable::contiguous(grad);
  normalized = torch::stable::contiguous(normalized);
  rstd = torch::stable::contiguous(rstd);
  const Rows in(op, grad);
  const DType dtype = dtype_of(op, grad.scalar_type());
  STD_TORCH_CHECK(
      sizes_of(normalized) == sizes_of(grad) && normalized.scalar_type() == grad.scalar_type(), op,
      ": expected normalized of the shape and dtype of grad");
  STD_TORCH_CHECK(rstd.numel() == in.batch * in.seq && rstd.scalar_type() == compute_type(dtype),
                  op, ": expected rstd of one element a row, float32 (float64 for float64)");
  check_affine(op, "weight", weight, grad, in.hidden);
  const std::optional<Tensor> w = contiguous(weight);

  const auto row = [&](bool needed) {
    return new_empty(grad, {needed ? in.hidden : 0}, grad.scalar_type());
  };
  const Tensor dx = new_empty(grad, sizes_of(grad), grad.scalar_type());
  const Tensor dweight = row(need_weight), dbias = row(need_bias);

  NormGradArgs norm;
  norm.grad = grad.const_data_ptr();
  norm.normalized = normalized.const_data_ptr();
  norm.weight = data_or_null(w);
  norm.rows = in.batch * in.seq;
  norm.hidden = in.hidden;
  norm.du_over_rstd = dx.mutable_data_ptr();
  norm.dweight = need_weight ? dweight.mutable_data_ptr() : nullptr;
  norm.dbias = need_bias ? dbias.mutable_data_ptr() : nullptr;
  norm.dtype = dtype;
  const Parallel parallel = torch_parallel(norm.rows * norm.hidden);
  const Tensor workspace = new_bytes(grad, norm_grad_cpu_workspace(norm, parallel.slots()));

  // dx = du + scale M(du), in place: M is its own adjoint. A few sequences at a time, while their
  // du is in the caches; chunks of rows may run a little ahead of them.
  MixArgs args = mix_args(in, dtype, scale);
  args.epilogue = Epilogue::kResidual;
  const int64_t size = in.seq * in.hidden;
  const int64_t slice =
      parallel.slots() * std::max<int64_t>(1, kBackwardSlice / std::max<int64_t>(1, size));
  const NormGradChunks chunks = norm_grad_chunks(norm);
  int64_t done = 0;
  for (int64_t b = 0; b < in.batch; b += slice) {
    args.batch = std::min(slice, in.batch - b);
    const int64_t needed = ((b + args.batch) * in.seq + chunks.rows - 1) / chunks.rows;
    norm_grad_part_cpu(norm, done, needed, workspace.mutable_data_ptr(), parallel);
    done = needed;
    args.y = advance(norm.du_over_rstd, b * size * element_size(dtype));
    args.x = args.y;
    args.row_scale = advance(rstd.const_data_ptr(), b * in.seq * compute_size(dtype));
    run_mix(args, grad);
  }
  norm_grad_sums_cpu(norm, workspace.mutable_data_ptr());
  return {dx, dweight, dbias};
}

int64_t workspace_bytes(int64_t batch, int64_t seq, int64_t hidden, ScalarType type) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of("workspace_bytes", type);
  if (is_empty(args)) return 0;
  const Parallel parallel = mix_parallel(args);
  return has_own_kernels(args) ? int64_t(mix_cpu_workspace(args, parallel.slots()))
                               : general_path_bytes(args, parallel);
}

std::vector<int64_t> length_radices(int64_t n) {
  const Factors factors = n >= 1 ? factorise(n) : Factors{};
  return {factors.radix, factors.radix + factors.count};
}

std::string isa() { return cpu_isa(); }
std::string isas() { return cpu_isas(); }
void set_isa(std::string name) {
  STD_TORCH_CHECK(set_cpu_isa(name.c_str()), "set_cpu_isa: expected auto or one of ", cpu_isas(),
                  ", got ", name);
}

}  // namespace
}  // namespace fnet::binding

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CPU, m) {
  using namespace fnet::binding;
  m.impl("fourier_mix", TORCH_BOX(&fourier_mix));
  m.impl("fused_fourier_mix", TORCH_BOX(&fused_fourier_mix));
  m.impl("fused_fourier_mix_train", TORCH_BOX(&fused_fourier_mix_train));
  m.impl("fused_fourier_mix_backward", TORCH_BOX(&fused_fourier_mix_backward));
}

STABLE_TORCH_LIBRARY_IMPL(fnet_kernels, CompositeExplicitAutograd, m) {
  using namespace fnet::binding;
  m.impl("workspace_bytes", TORCH_BOX(&workspace_bytes));
  m.impl("length_radices", TORCH_BOX(&length_radices));
  m.impl("cpu_isa", TORCH_BOX(&isa));
  m.impl("cpu_isas", TORCH_BOX(&isas));
  m.impl("set_cpu_isa", TORCH_BOX(&set_isa));
}
