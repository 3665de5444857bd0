// Fills a Kernels table for one instruction set. The including file chooses it: before anything
// else it defines FNET_ISA and the widths of its lanes.
#pragma once

#include "cpu/kernels.h"
#include "cpu/simd/general_path.h"
#include "cpu/simd/long_lines.h"
#include "cpu/simd/norm_grad.h"
#include "cpu/simd/row_pass.h"
#include "cpu/simd/seq_pass.h"
#include "cpu/simd/sequence_lanes.h"

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
      const int64_t seq_extent = line_extent(seq), row_places = line_extent(hidden);
      const int64_t seq_places = min_of(group_size<Lanes<R, W>>(seq_extent), tiles) * seq_extent;
      lines = reinterpret_cast<Complex<Lanes<R, W>>*>(
          take((seq_places > row_places ? seq_places : row_places) * 2 * W));
    }
    rows = MixedRows<R>::over(take((has_lines ? 2 * W : 1) * pitch), hidden, W);
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

// Lays out SequenceLanes at `base` and returns its size in bytes.
template <class R>
int64_t place_sequences(void* base, int64_t seq, int64_t hidden, SequenceLanes<kWidth<R>, R>& s) {
  using V = Lanes<R, kWidth<R>>;
  const intptr_t begin = reinterpret_cast<intptr_t>(base);
  intptr_t at = begin;
  const auto take = [&](int64_t vectors) {
    V* p = reinterpret_cast<V*>(at);
    at += vectors * int64_t(sizeof(V));
    return p;
  };
  s.seq = seq, s.hidden = hidden;
  s.rows = take(seq * hidden);
  s.columns = reinterpret_cast<Complex<V>*>(
      take(2 * ((s.pairs(hidden) - 1) * padded_line(seq) + line_extent(seq))));
  s.line = reinterpret_cast<Complex<V>*>(take(2 * line_extent(hidden)));
  return (at - begin + 63) / 64 * 64;
}

inline int64_t sequences_bytes(DType dtype, int64_t seq, int64_t hidden) {
  const auto bytes = [&](auto s) { return place_sequences(nullptr, seq, hidden, s); };
  return dtype == DType::kFloat64 ? bytes(SequenceLanes<kWidth<double>, double>{})
                                  : bytes(SequenceLanes<kWidth<float>, float>{});
}

inline void sequences(const MixTask& task, int64_t begin, int64_t end, void* scratch) {
  const MixArgs& args = *task.args;
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    constexpr int W = kWidth<R>;
    SequenceLanes<W, R> s;
    place_sequences(scratch, args.seq, args.hidden, s);
    for (int64_t b = begin; b < end; b += W)
      mix_sequences(s, *static_cast<const LinePlan<R>*>(task.seq_plan),
                    *static_cast<const LinePlan<R>*>(task.hidden_plan), row_output<T>(task, b),
                    args.x_batch_stride, min_of<int64_t>(W, end - b), R(args.scale));
  });
  if (task.streams) end_streaming();
}

// The scratch of a LongSequence.
template <class R>
struct LongScratch {
  using V = Lanes<R, kWidth<R>>;
  V* tile;
  R* weights;
  Complex<V>* line;
  int64_t bytes;

  FNET_FN LongScratch(void* base, const LongShape& shape, int64_t line_places) {
    const intptr_t begin = reinterpret_cast<intptr_t>(base);
    tile = reinterpret_cast<V*>(begin);
    line = reinterpret_cast<Complex<V>*>(tile + 2 * shape.small);
    weights = reinterpret_cast<R*>(line + line_places);
    const intptr_t end = reinterpret_cast<intptr_t>(weights + shape.small);
    bytes = (end - begin + 63) / 64 * 64;
  }
};

inline int64_t long_bytes(DType dtype, const LongShape& shape, int64_t line_places) {
  return dtype == DType::kFloat64 ? LongScratch<double>(nullptr, shape, line_places).bytes
                                  : LongScratch<float>(nullptr, shape, line_places).bytes;
}

inline void long_pieces(const LongTask& task, int64_t b, void* buffer, int phase, int64_t begin,
                        int64_t end, void* base) {
  const MixArgs& args = *task.mix->args;
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    const LongScratch<R> scratch(base, task.shape, task.line_places);
    R* lines = static_cast<R*>(buffer);
    const LongSequence<kWidth<R>, T> s{task.shape,
                                       *static_cast<const LinePlan<R>*>(task.plan),
                                       *static_cast<const SplitPlan<R>*>(task.split),
                                       row_output<T>(*task.mix, b),
                                       R(args.scale) / 4,
                                       lines,
                                       lines + task.shape.line_numbers(),
                                       scratch.weights,
                                       scratch.tile,
                                       scratch.line};
    long_pieces(s, phase, begin, end);
  });
  if (task.mix->streams) end_streaming();
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

inline constexpr Kernels make_table(const char* name) {
  return {name,      FNET_WIDTH32, FNET_WIDTH64, scratch_bytes, sequences_bytes, seq_tiles,
          row_tiles, sequences,    long_pieces,  long_bytes,    spectrum_rows,   norm_grad};
}

}  // namespace fnet::FNET_ISA
