// Fills a Kernels table for one instruction set. The including file chooses it: before anything
// else it defines FNET_ISA and the widths of its lanes.
#pragma once

#include "cpu/kernels.h"
#include "cpu/simd/general_path.h"
#include "cpu/simd/norm_grad.h"
#include "cpu/simd/row_pass.h"
#include "cpu/simd/seq_pass.h"

namespace fnet::FNET_ISA {

template <class R>
inline constexpr int kWidth = sizeof(R) == 8 ? FNET_WIDTH64 : FNET_WIDTH32;

// A slot's scratch: 2 W rows of r and one row of u. On the kernels' path, fold weights and lines
// come before them: as many as a group along seq or one line along hidden needs.
template <class R>
struct Scratch {
  static constexpr int W = kWidth<R>;
  R* fold_weights = nullptr;
  Complex<Lanes<R, W>>* lines = nullptr;
  MixedRows<R> rows;
  R* u;
  int64_t bytes;

  FNET_FN Scratch(void* base, int64_t seq, int64_t hidden, bool has_lines) {
    const intptr_t begin = reinterpret_cast<intptr_t>(base);
    intptr_t at = begin;
    const auto take = [&](int64_t count) {
      R* p = reinterpret_cast<R*>(at);
      at += (count * int64_t(sizeof(R)) + 63) / 64 * 64;
      return p;
    };
    const int64_t pitch = MixedRows<R>::pitch_for(hidden, W);
    if (has_lines) {
      fold_weights = take(seq);
      const int64_t tiles = (half_length(hidden) + 2 * W - 1) / (2 * W);
      const int64_t group = min_of(group_size<Lanes<R, W>>(seq), tiles);
      const int64_t seq_places = group * line_extent(seq), row_places = line_extent(hidden);
      lines = reinterpret_cast<Complex<Lanes<R, W>>*>(
          take((seq_places > row_places ? seq_places : row_places) * 2 * W));
    }
    rows = MixedRows<R>::over(take(2 * W * pitch), hidden, W);
    u = take(pitch);
    bytes = at - begin;
  }
};

inline int64_t scratch_bytes(DType dtype, int64_t seq, int64_t hidden, bool has_lines) {
  return dtype == DType::kFloat64 ? Scratch<double>(nullptr, seq, hidden, has_lines).bytes
                                  : Scratch<float>(nullptr, seq, hidden, has_lines).bytes;
}

// Calls body(T{}, scratch) with the storage type of the task.
template <class F>
void with_scratch(const MixTask& task, void* base, bool has_lines, const F& body) {
  const MixArgs& args = *task.args;
  visit_dtype(args.dtype, [&](auto t) {
    body(t, Scratch<Compute<decltype(t)>>(base, args.seq, args.hidden, has_lines));
  });
}

template <class T>
FNET_FN RowOutput<T> row_output(const MixTask& task, int64_t b) {
  using R = Compute<T>;
  const MixArgs& args = *task.args;
  const int64_t offset = b * args.seq * args.hidden;
  const auto rows_of = [&](const void* p) {
    return p ? static_cast<const R*>(p) + b * args.seq : nullptr;
  };
  RowOutput<T> out;
  out.seq = args.seq;
  out.hidden = args.hidden;
  out.epilogue = args.epilogue;
  out.x = static_cast<const T*>(args.x) + b * args.x_batch_stride;
  out.row_stride = args.x_row_stride;
  out.row_scale = rows_of(args.row_scale);
  out.weight = static_cast<const R*>(task.weight);
  out.bias = static_cast<const R*>(task.bias);
  out.eps = R(args.eps);
  out.y = static_cast<T*>(args.y) + offset;
  out.normalized = args.normalized ? static_cast<T*>(args.normalized) + offset : nullptr;
  out.rstd = const_cast<R*>(rows_of(args.rstd));
  out.streams = task.streams;
  return out;
}

// Calls body(row output of sequence b, scratch), then completes the non-temporal stores.
template <class F>
void write_rows(const MixTask& task, int64_t b, void* base, bool has_lines, const F& body) {
  with_scratch(task, base, has_lines,
               [&]<class T>(T, const Scratch<Compute<T>>& s) { body(row_output<T>(task, b), s); });
  if (task.streams) end_streaming();
}

inline void seq_tiles(const MixTask& task, int64_t b, void* G, int64_t begin, int64_t end,
                      void* scratch) {
  const MixArgs& args = *task.args;
  with_scratch(task, scratch, true, [&]<class T>(T, const auto& s) {
    using R = Compute<T>;
    const R* row_scale = static_cast<const R*>(args.row_scale);
    const R quarter = R(args.scale) / 4;
    for (int64_t n = 0; n < args.seq; ++n)
      s.fold_weights[n] =
          row_scale ? with_short_nan(row_scale[b * args.seq + n]) * quarter : quarter;
    const SeqInput<T> in{static_cast<const T*>(args.x) + b * args.x_batch_stride, args.x_row_stride,
                         s.fold_weights};
    seq_pass<kWidth<R>>(in, *static_cast<const LinePlan<R>*>(task.seq_plan), args.hidden, begin,
                        end, s.lines, static_cast<R*>(G));
  });
}

inline void row_tiles(const MixTask& task, int64_t b, const void* G, int64_t begin, int64_t end,
                      void* scratch) {
  write_rows(task, b, scratch, true, [&]<class T>(const RowOutput<T>& out, const auto& s) {
    using R = Compute<T>;
    for (int64_t i = begin; i < end; ++i)
      row_tile<kWidth<R>>(out, *static_cast<const LinePlan<R>*>(task.hidden_plan),
                          static_cast<const R*>(G), 2 * i, s.lines, s.rows, s.u);
  });
}

inline void spectrum_rows(const MixTask& task, int64_t b, const void* spectrum, int64_t begin,
                          int64_t end, void* scratch) {
  const MixArgs& args = *task.args;
  write_rows(task, b, scratch, false, [&]<class T>(const RowOutput<T>& out, const auto& s) {
    using R = Compute<T>;
    const Complex<R>* F =
        static_cast<const Complex<R>*>(spectrum) + b * args.seq * half_length(args.hidden);
    visit_part(args.transform, [&](auto part) {
      for (int64_t k = begin; k < end; ++k)
        rows_from_spectrum<kWidth<R>>(out, F, part, R(args.scale), k, s.rows.row(0), s.u);
    });
  });
}

inline void norm_grad(const NormGradArgs& args, const void* weight, int64_t begin, int64_t end,
                      void* dweight, void* dbias) {
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    norm_grad_rows<kWidth<R>, T>(args, static_cast<const R*>(weight), begin, end,
                                 static_cast<R*>(dweight), static_cast<R*>(dbias));
  });
}

template <class R>
void transform(const void* plan, void* line) {
  line_fft(*static_cast<const LinePlan<R>*>(plan),
           static_cast<Complex<Lanes<R, kWidth<R>>>*>(line));
}

inline void transform_line(DType dtype, const void* plan, void* line) {
  dtype == DType::kFloat64 ? transform<double>(plan, line) : transform<float>(plan, line);
}

inline constexpr Kernels make_table(const char* name) {
  return {name,      FNET_WIDTH32,  FNET_WIDTH64, scratch_bytes, seq_tiles,
          row_tiles, spectrum_rows, norm_grad,    transform_line};
}

}  // namespace fnet::FNET_ISA
