// Sequences of different lengths by calls for sequences of one length: on CUDA those of lengths
// without kernels, and on the CPU for tests.
//
// Neighbours of one length are a view [n, length, hidden] of x: one call. Sequences that zeros
// extend are copied, all of one extended length together.
#pragma once

#include <map>
#include <utility>

#include "torch/varlen_ops.h"

namespace fnet::binding {

// A view of `rows` rows at p.
inline Tensor rows_at(const void* p, int64_t rows, int64_t stride, int64_t hidden, ScalarType type,
                      const Tensor& like) {
  return torch::stable::from_blob(const_cast<void*>(p), {rows, hidden}, {stride, 1}, like.device(),
                                  type);
}

// Writes zeros to y, normalized and rstd from the length of each sequence to its end.
inline void fill_rows_past(const MixArgs& args, const Sequences& sequences, const Tensor& like) {
  for (const Sequence& s : sequences) {
    const int64_t begin = s.row + s.length;
    if (begin >= s.end) continue;
    const auto fill = [&](void* p, int64_t columns, ScalarType type) {
      if (!p) return;
      p = offset_bytes(p, begin * columns * element_bytes(type));
      Tensor rows = rows_at(p, s.end - begin, columns, columns, type, like);
      torch::stable::fill_(rows, 0);
    };
    fill(args.y, args.hidden, like.scalar_type());
    fill(args.normalized, args.hidden, like.scalar_type());
    fill(args.rstd, 1, compute_type(args.dtype));
  }
}

// B::clear_rows_past does what fill_rows_past does.
template <class B>
struct VarlenByRuns {
  static void mix_varlen(const MixArgs& args, const Sequences& sequences, const Tensor& like) {
    B::clear_rows_past(args, sequences, like);
    mix_runs(args, sequences, like);
  }

  // mix_varlen without the zeros past the lengths.
  static void mix_runs(const MixArgs& args, const Sequences& sequences, const Tensor& like) {
    std::map<int64_t, Sequences> extended;
    for (size_t i = 0; i < sequences.size();) {
      const Sequence& first = sequences[i];
      size_t end = i + 1;
      if (first.length > 0 && first.seq == first.length) {
        end = end_of_run(sequences, i);
        MixArgs run = args_of(args, first);
        run.batch = int64_t(end - i);
        run.rows = 0;
        run.x_batch_stride = run.batch > 1 ? sequences[i + 1].x - first.x : 0;
        B::mix(run, like);
      } else if (first.length > 0) {
        extended[first.seq].push_back(first);
      }
      i = end;
    }
    for (const auto& [seq, group] : extended) mix_extended(args, group, like);
  }

  static void backward_varlen(NormGradArgs norm, MixArgs args, const Sequences& sequences,
                              const void* rstd, const Tensor& like) {
    // du of its own, because the kernels do not mix in place.
    const Tensor du = new_empty(like, {norm.rows, norm.hidden}, like.scalar_type());
    Tensor grad = like;
    if (has_rows_past(sequences)) {
      grad = new_empty(like, {norm.rows, norm.hidden}, like.scalar_type());
      torch::stable::copy_(
          grad, rows_at(norm.grad, norm.rows, norm.hidden, norm.hidden, like.scalar_type(), like));
      clear_tensor_past(grad, args, sequences, like);
    }
    norm.grad = grad.const_data_ptr();
    norm.rstd = rstd;
    norm.du = du.mutable_data_ptr();
    B::norm_grad(norm, like);
    args.x = du.const_data_ptr();
    if (!is_empty(args)) B::mix_varlen(args, sequences, like);
  }

 private:
  static bool has_rows_past(const Sequences& sequences) {
    return std::any_of(sequences.begin(), sequences.end(),
                       [](const Sequence& s) { return s.row + s.length < s.end; });
  }

  // Zeros past the lengths in contiguous rows.
  static void clear_tensor_past(const Tensor& rows, MixArgs args, const Sequences& sequences,
                                const Tensor& like) {
    args.y = rows.mutable_data_ptr();
    args.normalized = args.rstd = nullptr;
    B::clear_rows_past(args, sequences, like);
  }

  // Sequences [first, end) have one length, are equally far apart in x, and are neighbours in y.
  static size_t end_of_run(const Sequences& sequences, size_t first) {
    size_t end = first + 1;
    for (; end < sequences.size(); ++end) {
      const Sequence &before = sequences[end - 1], &s = sequences[end];
      if (s.length != before.length || s.seq != s.length || s.row != before.row + before.length ||
          s.x - before.x != sequences[first + 1].x - sequences[first].x)
        break;
    }
    return end;
  }

  static void mix_extended(const MixArgs& args, const Sequences& group, const Tensor& like) {
    const int64_t seq = group.front().seq, rows = int64_t(group.size()) * seq;
    const ScalarType type = like.scalar_type();
    Tensor x = new_empty(like, {rows, args.hidden}, type);
    NormOutputs out{new_empty(like, {rows, args.hidden}, type), {}, {}};
    if (args.normalized) out.normalized = new_empty(like, {rows, args.hidden}, type);
    if (args.rstd) out.rstd = new_empty(like, {rows, 1}, compute_type(args.dtype));

    const auto each = [&](const auto& body) {
      for (size_t i = 0; i < group.size(); ++i) body(group[i], int64_t(i) * seq);
    };
    Sequences extended = group;
    each([&](const Sequence& s, int64_t row) {
      const MixArgs own = args_of(args, s);
      Tensor to = torch::stable::narrow(x, 0, row, s.length);
      torch::stable::copy_(to,
                           rows_at(own.x, s.length, args.x_row_stride, args.hidden, type, like));
      Sequence& placed = extended[size_t(row / seq)];
      placed.row = row, placed.end = row + seq;
    });
    clear_tensor_past(x, args, extended, like);
    MixArgs all = args_of(args, group.front());
    all.batch = int64_t(group.size());
    all.rows = 0;
    all.x = x.const_data_ptr();
    all.x_row_stride = args.hidden;
    all.x_batch_stride = seq * args.hidden;
    all.y = out.y.mutable_data_ptr();
    all.normalized = out.normalized ? out.normalized->mutable_data_ptr() : nullptr;
    all.rstd = out.rstd ? out.rstd->mutable_data_ptr() : nullptr;
    B::mix(all, like);
    each([&](const Sequence& s, int64_t row) {
      const MixArgs own = args_of(args, s);
      const auto back = [&](void* p, std::optional<Tensor> from, int64_t columns) {
        if (!p) return;
        Tensor to = rows_at(p, s.length, columns, columns, from->scalar_type(), like);
        torch::stable::copy_(to, torch::stable::narrow(*from, 0, row, s.length));
      };
      back(own.y, out.y, args.hidden);
      back(own.normalized, out.normalized, args.hidden);
      back(own.rstd, out.rstd, 1);
    });
  }
};

}  // namespace fnet::binding
