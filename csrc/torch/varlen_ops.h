// The ops of sequences of different lengths, written once for all backends.
//
// x is packed, [total, hidden] with one sequence after the other, or padded, [..., seq, hidden]
// with a sequence at the start of each [seq, hidden] and zeros in the results after it.
#pragma once

#include <cmath>
#include <concepts>
#include <string>

#include "torch/ops.h"

namespace fnet::binding {

using Sequences = std::vector<Sequence>;

// The kernels of a device. x of `args` is that of all rows, and is not empty.
template <class B>
concept VarlenBackend =
    Backend<B> && requires(const MixArgs& args, const NormGradArgs& norm,
                           const Sequences& sequences, const void* rstd, const Tensor& like) {
      // The mix of each sequence, and zeros past its length.
      { B::mix_varlen(args, sequences, like) } -> std::same_as<void>;
      // Writes LayerNorm's gradient to args.y, which is norm.du, then adds each sequence's mix to
      // it.
      { B::backward_varlen(norm, args, sequences, rstd, like) } -> std::same_as<void>;
    };

// How a call cuts x into sequences and extends and normalises their transforms.
struct Cut {
  std::vector<int64_t> lengths;
  int64_t round_to;
  std::string norm = "backward";
};

inline double norm_factor(const char* op, const std::string& norm, int64_t elements) {
  const double inverse = 1.0 / double(std::max<int64_t>(elements, 1));
  if (norm == "ortho") return std::pow(inverse, 0.5);
  if (norm == "forward") return inverse;
  require(norm == "backward", op, ": expected norm backward, ortho or forward, got ", norm);
  return 1;
}

// The sequences in the rows of `all`: packed in [batch, seq] = [1, total], or one in each [seq].
inline Sequences sequences_of(const char* op, const MixArgs& all, const Cut& cut, bool packed) {
  const int64_t count = int64_t(cut.lengths.size());
  // The most numbers that has_valid_sizes allows: length + round_to does not overflow.
  constexpr int64_t kMost = int64_t(1) << 56;
  require(1 <= cut.round_to && cut.round_to <= kMost, op, ": expected round_to between 1 and ",
          kMost, ", got ", cut.round_to);
  require(packed || count == all.batch, op, ": expected one length for each of ", all.batch,
          " sequences, got ", count);
  Sequences sequences;
  MixArgs alone = all;
  alone.batch = 1;
  int64_t row = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = cut.lengths[i], left = packed ? all.seq - row : all.seq;
    require(0 <= length && length <= left, op, ": expected a length between 0 and ", left,
            " at index ", i, ", got ", length);
    Sequence s;
    s.x = packed ? row * all.x_row_stride : i * all.x_batch_stride;
    s.row = row;
    s.length = length;
    s.end = row + (packed ? length : all.seq);
    alone.seq = s.seq = (length + cut.round_to - 1) / cut.round_to * cut.round_to;
    require(has_valid_sizes(alone), op, ": expected round_to whose multiples of hidden ",
            all.hidden, " are at most ", kMost, ", got ", cut.round_to);
    s.scale = all.scale * norm_factor(op, cut.norm, s.seq * all.hidden);
    row = s.end;
    sequences.push_back(s);
  }
  require(!packed || row == all.seq, op, ": expected lengths that add up to the rows of x, ",
          all.seq, ", got ", row);
  return sequences;
}

// Runs the mix of all sequences of a call.
template <VarlenBackend B>
auto mix_of(const char* op, const Cut& cut) {
  return [op, &cut](const Rows& in, MixArgs args, const Tensor& x) {
    check_scale(op, args.scale);
    const Sequences sequences = sequences_of(op, args, cut, in.x.dim() == 2);
    args.output_rows = in.batch * in.seq;
    if (!is_empty(args)) B::mix_varlen(args, sequences, x);
  };
}

template <VarlenBackend B>
Tensor fourier_mix_varlen(Tensor x, std::vector<int64_t> lengths, int64_t round_to,
                          std::string norm, double scale, bool residual) {
  const char* op = "fourier_mix_varlen";
  const Cut cut{std::move(lengths), round_to, std::move(norm)};
  const typename B::Scope scope(x);
  const Rows in(op, x, B::kAlignment);
  const Tensor y = new_empty(x, sizes_of(x), x.scalar_type());
  MixArgs args = mix_args(in, dtype_of(op, x.scalar_type()), scale);
  args.epilogue = residual ? Epilogue::kResidual : Epilogue::kMix;
  args.y = y.mutable_data_ptr();
  mix_of<B>(op, cut)(in, args, x);
  return y;
}

template <VarlenBackend B>
Tensor fused_fourier_mix_varlen(Tensor x, std::optional<Tensor> weight, std::optional<Tensor> bias,
                                std::vector<int64_t> lengths, int64_t round_to, std::string norm,
                                double eps, double scale) {
  const char* op = "fused_fourier_mix_varlen";
  const Cut cut{std::move(lengths), round_to, std::move(norm)};
  return run_norm<B>(op, x, weight, bias, eps, scale, false, NormType::kLayer, mix_of<B>(op, cut))
      .y;
}

template <VarlenBackend B>
std::tuple<Tensor, Tensor, Tensor> fused_fourier_mix_varlen_train(
    Tensor x, std::optional<Tensor> weight, std::optional<Tensor> bias,
    std::vector<int64_t> lengths, int64_t round_to, std::string norm, double eps, double scale) {
  const char* op = "fused_fourier_mix_varlen_train";
  const Cut cut{std::move(lengths), round_to, std::move(norm)};
  NormOutputs out =
      run_norm<B>(op, x, weight, bias, eps, scale, true, NormType::kLayer, mix_of<B>(op, cut));
  return {out.y, *out.normalized, *out.rstd};
}

template <VarlenBackend B>
std::tuple<Tensor, Tensor, Tensor> fused_fourier_mix_varlen_backward(
    Tensor grad, Tensor normalized, Tensor rstd, std::optional<Tensor> weight,
    std::vector<int64_t> lengths, int64_t round_to, std::string norm, double scale,
    bool need_weight, bool need_bias) {
  const char* op = "fused_fourier_mix_varlen_backward";
  // float16 cannot hold du, which is grad divided by the deviation of a row.
  if (!B::kReadsWideAffine && grad.scalar_type() == ScalarType::Half) {
    const Widening wider = kFloat16AsFloat32;
    const ScalarType affine = affine_type(weight, grad);
    const auto [dx, dweight, dbias] = fused_fourier_mix_varlen_backward<B>(
        wider.widen(grad), wider.widen(normalized), rstd, wider.widen(weight), std::move(lengths),
        round_to, std::move(norm), scale, need_weight, need_bias);
    return {wider.narrow(dx), torch::stable::to(dweight, affine), torch::stable::to(dbias, affine)};
  }
  const Cut cut{std::move(lengths), round_to, std::move(norm)};
  return run_norm_backward<B>(
      op, grad, normalized, rstd, weight, scale, need_weight, need_bias, NormType::kLayer,
      [&](const Rows& in, const NormGradArgs& grads, MixArgs args, const void* saved,
          const Tensor& like) {
        const Sequences sequences = sequences_of(op, args, cut, in.x.dim() == 2);
        args.output_rows = in.batch * in.seq;
        B::backward_varlen(grads, args, sequences, saved, like);
      });
}

}  // namespace fnet::binding
