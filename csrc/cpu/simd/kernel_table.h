// Fills a Kernels table for one instruction set. The including file chooses it: before anything
// else it defines FNET_ISA and the widths of its lanes.
#pragma once

#include "cpu/kernels.h"
#include "cpu/simd/general_path.h"
#include "cpu/simd/long_lines.h"
#include "cpu/simd/norm_grad.h"
#include "cpu/simd/real_rows.h"
#include "cpu/simd/row_pass.h"
#include "cpu/simd/seq_pass.h"
#include "cpu/simd/sequence_lanes.h"

namespace fnet::FNET_ISA {

template <class R>
inline constexpr int kWidth = sizeof(R) == 8 ? FNET_WIDTH64 : FNET_WIDTH32;

// Lanes of a fine tile: vectors of 64 bytes are halved.
template <class R>
inline constexpr int kFineWidth = min_of(kWidth<R>, int(32 / sizeof(R)));

// Lays out arrays of numbers, aligned to 64 bytes, from `base` on.
template <class R>
class ScratchLayout {
 public:
  FNET_FN explicit ScratchLayout(void* base)
      : begin_(reinterpret_cast<intptr_t>(base)), at_(begin_) {}
  FNET_FN R* take(int64_t count) {
    R* p = reinterpret_cast<R*>(at_);
    at_ += (count * int64_t(sizeof(R)) + 63) / 64 * 64;
    return p;
  }
  template <int V>
  FNET_FN Lanes<R, V>* take_lanes(int64_t count) {
    return reinterpret_cast<Lanes<R, V>*>(take(count * V));
  }
  template <int V>
  FNET_FN Complex<Lanes<R, V>>* take_points(int64_t count) {
    return reinterpret_cast<Complex<Lanes<R, V>>*>(take(count * 2 * V));
  }
  FNET_FN int64_t bytes() const { return at_ - begin_; }

 private:
  intptr_t begin_, at_;
};

// A slot's scratch in the seq pass: the factors of the rows, and the lines of a group of tiles of V
// lanes.
template <class R, int V>
struct SeqScratch {
  R* factors;
  int64_t group;
  Complex<Lanes<R, V>>* lines;
  int64_t bytes;

  FNET_FN SeqScratch(void* base, int64_t seq, int64_t hidden, Tiles tiles) {
    constexpr int W = kWidth<R>;
    ScratchLayout<R> layout(base);
    factors = layout.take(seq);
    group = tiles == Tiles::kFine ? 1
                                  : min_of(group_size<Lanes<R, W>>(line_extent(seq)),
                                           tile_count<W, W>(half_length(hidden)));
    lines = layout.template take_points<V>(group * line_extent(seq));
    bytes = layout.bytes();
  }
};

// A slot's scratch in the row pass: a line of V lanes, a few rows of r and one row u.
template <class R, int V>
struct RowScratch {
  Complex<Lanes<R, V>>* line;
  MixedRows<R> rows;
  R* u;
  int64_t bytes;

  FNET_FN RowScratch(void* base, int64_t hidden) {
    const int64_t pitch = MixedRows<R>::pitch_for(hidden, kWidth<R>);
    ScratchLayout<R> layout(base);
    line = layout.template take_points<V>(line_extent(hidden));
    rows = {layout.take(kMixedRows<R, kWidth<R>, V> * pitch), pitch};
    u = layout.take(pitch);
    bytes = layout.bytes();
  }
};

// A slot's scratch on the general path: one row of r and one row u.
template <class R>
struct SpectrumRowScratch {
  R *r, *u;
  int64_t bytes;

  FNET_FN SpectrumRowScratch(void* base, int64_t hidden) {
    const int64_t pitch = MixedRows<R>::pitch_for(hidden, kWidth<R>);
    ScratchLayout<R> layout(base);
    r = layout.take(pitch);
    u = layout.take(pitch);
    bytes = layout.bytes();
  }
};

// body(constant<V>) with the lanes V of a tile.
template <class R, class F>
FNET_FN auto with_width(Tiles tiles, const F& body) {
  if constexpr (kFineWidth<R> < kWidth<R>)
    if (tiles == Tiles::kFine) return body(constant<kFineWidth<R>>);
  return body(constant<kWidth<R>>);
}

// body(R{}) with the compute type.
template <class F>
FNET_FN auto with_compute_type(DType dtype, const F& body) {
  return dtype == DType::kFloat64 ? body(double{}) : body(float{});
}

inline PassTiles seq_pass_tiles(DType dtype, int64_t seq, int64_t hidden, Tiles tiles) {
  return with_compute_type(dtype, [&]<class R>(R) {
    return with_width<R>(tiles, [&]<int V>(std::integral_constant<int, V>) {
      const int64_t count = tile_count<kWidth<R>, V>(half_length(hidden));
      return PassTiles{count, count, SeqScratch<R, V>(nullptr, seq, hidden, tiles).bytes};
    });
  });
}

inline PassTiles row_pass_tiles(DType dtype, int64_t seq, int64_t hidden, Tiles tiles) {
  return with_compute_type(dtype, [&]<class R>(R) {
    return with_width<R>(tiles, [&]<int V>(std::integral_constant<int, V>) {
      // A tile of the last row alone, as powers of two have it, takes a fraction of the time.
      const int64_t rows = half_length(seq);
      return PassTiles{tile_count<kWidth<R>, V>(rows),
                       tile_count<kWidth<R>, V>(rows > 1 ? rows - 1 : rows),
                       RowScratch<R, V>(nullptr, hidden).bytes};
    });
  });
}

inline int64_t spectrum_rows_bytes(DType dtype, int64_t hidden) {
  return with_compute_type(
      dtype, [&]<class R>(R) { return SpectrumRowScratch<R>(nullptr, hidden).bytes; });
}

// The numbers of the rows of sequence b.
template <class R>
FNET_FN R* rows_of(const MixArgs& args, const void* numbers, int64_t b) {
  return numbers ? static_cast<R*>(const_cast<void*>(numbers)) + b * args.seq : nullptr;
}

template <class T>
FNET_FN InputRows<T> input_rows(const MixTask& task, int64_t b) {
  using R = Compute<T>;
  const MixArgs& args = *task.args;
  InputRows<T> in;
  in.x = static_cast<const T*>(args.x) + b * args.x_batch_stride;
  in.stride = args.x_row_stride;
  in.rows = args.present_rows();
  in.zeros = static_cast<const T*>(task.zeros);
  in.factor = rows_of<R>(args, args.norm_first ? args.rstd : args.row_scale, b);
  in.mean = args.norm_first ? rows_of<R>(args, args.mean, b) : nullptr;
  in.weight = static_cast<const R*>(task.weight);
  in.bias = static_cast<const R*>(task.bias);
  return in;
}

template <class T>
FNET_FN RowOutput<T> row_output(const MixTask& task, int64_t b) {
  using R = Compute<T>;
  const MixArgs& args = *task.args;
  const int64_t offset = b * args.seq * args.hidden;
  RowOutput<T> out;
  out.seq = args.seq;
  out.hidden = args.hidden;
  out.epilogue = args.epilogue;
  out.rows = args.present_rows();
  out.norm = args.norm;
  out.residual_is_input = !args.residual;
  if (args.residual) {
    out.residual = static_cast<const T*>(args.residual) + b * args.residual_batch_stride;
    out.residual_stride = args.residual_row_stride;
    out.residual_scale = nullptr;
  } else {
    out.residual = static_cast<const T*>(args.x) + b * args.x_batch_stride;
    out.residual_stride = args.x_row_stride;
    out.residual_scale = rows_of<R>(args, args.row_scale, b);
  }
  out.weight = static_cast<const R*>(task.weight);
  out.bias = static_cast<const R*>(task.bias);
  out.eps = R(args.eps);
  out.y = static_cast<T*>(args.y) + offset;
  out.normalized = args.normalized ? static_cast<T*>(args.normalized) + offset : nullptr;
  out.rstd = rows_of<R>(args, args.rstd, b);
  out.streams = task.streams;
  return out;
}

inline void seq_tiles(const MixTask& task, int64_t b, void* G, Tiles tiles, int64_t begin,
                      int64_t end, void* scratch) {
  const MixArgs& args = *task.args;
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    with_width<R>(tiles, [&]<int V>(std::integral_constant<int, V>) {
      const SeqScratch<R, V> s(scratch, args.seq, args.hidden, tiles);
      InputRows<T> in = input_rows<T>(task, b);
      const R quarter = R(args.scale) / 4;
      for (int64_t n = 0; n < args.seq; ++n) s.factors[n] = in.factor_or_one(n) * quarter;
      in.factor = s.factors;
      seq_pass<kWidth<R>, V>(in, *static_cast<const LinePlan<R>*>(task.seq_plan), args.hidden,
                             begin, end, s.group, s.lines, static_cast<R*>(G));
    });
  });
}

inline void row_tiles(const MixTask& task, int64_t b, const void* G, Tiles tiles, int64_t begin,
                      int64_t end, void* scratch) {
  const MixArgs& args = *task.args;
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    with_width<R>(tiles, [&]<int V>(std::integral_constant<int, V>) {
      const RowScratch<R, V> s(scratch, args.hidden);
      const RowOutput<T> out = row_output<T>(task, b);
      for (int64_t i = begin; i < end; ++i)
        row_tile<kWidth<R>, V>(out, *static_cast<const LinePlan<R>*>(task.hidden_plan),
                               static_cast<const R*>(G), i, s.line, s.rows, s.u);
    });
  });
  if (task.streams) end_streaming();
}

// Lays out SequenceLanes at `base` and returns its size in bytes.
template <int V, class R>
int64_t place_sequences(void* base, int64_t seq, int64_t hidden, SequenceLanes<V, R>& s) {
  ScratchLayout<R> layout(base);
  s.seq = seq, s.hidden = hidden;
  s.rows = layout.template take_lanes<V>(seq * hidden);
  if (has_real_line(seq, hidden)) {
    s.columns = nullptr;
    s.line = layout.template take_points<V>(line_extent(hidden / 2));
  } else {
    s.columns = layout.template take_points<V>((paired_lines(hidden) - 1) * padded_line(seq) +
                                               line_extent(seq));
    s.line = layout.template take_points<V>(line_extent(hidden));
  }
  return layout.bytes();
}

inline LaneGroup lane_group(DType dtype, int64_t seq, int64_t hidden, Tiles tiles) {
  return with_compute_type(dtype, [&]<class R>(R) {
    return with_width<R>(tiles, [&]<int V>(std::integral_constant<int, V>) {
      SequenceLanes<V, R> s;
      return LaneGroup{V, place_sequences(nullptr, seq, hidden, s)};
    });
  });
}

inline void sequences(const MixTask& task, Tiles tiles, int64_t begin, int64_t end, void* scratch) {
  const MixArgs& args = *task.args;
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    with_width<R>(tiles, [&]<int V>(std::integral_constant<int, V>) {
      SequenceLanes<V, R> s;
      place_sequences(scratch, args.seq, args.hidden, s);
      for (int64_t b = begin; b < end; b += V) {
        const auto mix = [&](auto run, const auto&... plan) {
          run(s, plan..., input_rows<T>(task, b), row_output<T>(task, b), args.x_batch_stride,
              args.residual ? args.residual_batch_stride : args.x_batch_stride,
              min_of<int64_t>(V, end - b), R(args.scale));
        };
        if (has_real_line(args.seq, args.hidden))
          mix(mix_real_rows<V, T>, *static_cast<const RealLinePlan<R>*>(task.hidden_plan));
        else
          mix(mix_sequences<V, T>, *static_cast<const LinePlan<R>*>(task.seq_plan),
              *static_cast<const LinePlan<R>*>(task.hidden_plan));
      }
    });
  });
  if (task.streams) end_streaming();
}

// The scratch of a LongSequence.
template <class R>
struct LongScratch {
  static constexpr int W = kWidth<R>;
  Lanes<R, W>* tile;
  R* weights;
  Complex<Lanes<R, W>>* line;
  int64_t bytes;

  FNET_FN LongScratch(void* base, const LongShape& shape, int64_t line_places) {
    ScratchLayout<R> layout(base);
    tile = layout.template take_lanes<W>(2 * shape.small);
    line = layout.template take_points<W>(line_places);
    weights = layout.take(shape.small);
    bytes = layout.bytes();
  }
};

inline int64_t long_bytes(DType dtype, const LongShape& shape, int64_t line_places) {
  return with_compute_type(
      dtype, [&]<class R>(R) { return LongScratch<R>(nullptr, shape, line_places).bytes; });
}

inline void long_pieces(const LongTask& task, int64_t b, void* buffer, LongPhase phase,
                        int64_t begin, int64_t end, void* base) {
  const MixArgs& args = *task.mix->args;
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    const LongScratch<R> scratch(base, task.shape, task.line_places);
    R* lines = static_cast<R*>(buffer);
    const LongSequence<kWidth<R>, T> s{task.shape,
                                       *static_cast<const LinePlan<R>*>(task.plan),
                                       *static_cast<const SplitPlan<R>*>(task.split),
                                       input_rows<T>(*task.mix, b),
                                       row_output<T>(*task.mix, b),
                                       R(args.scale) / 4,
                                       lines,
                                       lines + task.shape.numbers() - task.shape.line_numbers(),
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
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    const SpectrumRowScratch<R> s(scratch, args.hidden);
    const RowOutput<T> out = row_output<T>(task, b);
    const Complex<R>* F =
        static_cast<const Complex<R>*>(spectrum) + b * args.seq * half_length(args.hidden);
    visit_part(args.transform, [&](auto part) {
      for (int64_t k = begin; k < end; ++k)
        rows_from_spectrum<kWidth<R>>(out, F, part, R(args.scale), k, s.r, s.u);
    });
  });
  if (task.streams) end_streaming();
}

inline void row_statistics(const MixArgs& args, int64_t b, int64_t begin, int64_t end) {
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    constexpr int W = kWidth<R>;
    R *mean = rows_of<R>(args, args.mean, b), *rstd = rows_of<R>(args, args.rstd, b);
    for (int64_t n = begin; n < end; ++n) {
      const T* row =
          static_cast<const T*>(args.x) + b * args.x_batch_stride + n * args.x_row_stride;
      const R sum = sum_of<W>(row, args.hidden);
      const RowStatistics<R> found =
          statistics_of<W>(row, args.hidden, sum, args.norm, R(args.eps));
      mean[n] = found.mean, rstd[n] = found.rstd;
    }
  });
}

inline void norm_grad(const NormGradArgs& args, const void* weight, int64_t begin, int64_t end,
                      void* dweight, void* dbias) {
  visit_dtype(args.dtype, [&]<class T>(T) {
    using R = Compute<T>;
    const auto rows = [&](auto norm_first) {
      norm_grad_rows<kWidth<R>, norm_first, T>(args, static_cast<const R*>(weight), begin, end,
                                               static_cast<R*>(dweight), static_cast<R*>(dbias));
    };
    args.mean ? rows(std::true_type{}) : rows(std::false_type{});
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
  return {.name = name,
          .width32 = FNET_WIDTH32,
          .width64 = FNET_WIDTH64,
          .seq_pass = seq_pass_tiles,
          .row_pass = row_pass_tiles,
          .spectrum_rows_bytes = spectrum_rows_bytes,
          .lane_group = lane_group,
          .seq_tiles = seq_tiles,
          .row_tiles = row_tiles,
          .sequences = sequences,
          .long_pieces = long_pieces,
          .long_bytes = long_bytes,
          .spectrum_rows = spectrum_rows,
          .row_statistics = row_statistics,
          .norm_grad_rows = norm_grad,
          .line_fft = transform_line};
}

}  // namespace fnet::FNET_ISA
