// The phases of a sequence with a long axis; see long_shape.h.
#pragma once

#include "cpu/long_shape.h"
#include "cpu/simd/fold.h"
#include "cpu/simd/sequence_lanes.h"
#include "cpu/split_plan.h"

namespace fnet::FNET_ISA {

// One sequence in progress. `lines` hold the spectrum G after the short axis, real and imaginary
// parts apart; their transforms are pairs of rows of r. If they are convolved, rows are lines.
template <int W, class T>
struct LongSequence {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  LongShape shape;
  const LinePlan<R>& plan;  // of the short axis
  const SplitPlan<R>& split;
  InputRows<T> in;
  RowOutput<T> out;
  R weight;          // scale / 4: fold and unpacking each contribute 1/2
  R* lines;          // [lines][re, im][pitch]
  R* rows;           // [lines][row 2j, row 2j + 1][pitch]
  R* weights;        // scratch [small]
  V* tile;           // scratch [2][small]
  Complex<V>* line;  // scratch

  FNET_FN R* part(int64_t j, int im) const { return lines + (2 * j + im) * shape.pitch() + W; }
  FNET_FN R* row(int64_t k) const { return rows + k * shape.pitch() + W; }
};

// A vector, or its first `count` lanes.
template <int W, class R>
FNET_FN Lanes<R, W> load_first(const R* p, int64_t count) {
  if (count >= W) return load<W>(p);
  R lane[W] = {};
  for (int64_t i = 0; i < count; ++i) lane[i] = p[i];
  return Lanes<R, W>::load(lane);
}
template <int W, class R>
FNET_FN void store_first(R* p, Lanes<R, W> v, int64_t count) {
  if (count >= W) return store<W>(p, v);
  R lane[W];
  v.store(lane);
  for (int64_t i = 0; i < count; ++i) p[i] = lane[i];
}

// Rows in lanes: lane i is row(at(i)).
template <int W, class T, class Row, class At>
FNET_FN void load_rows(const Row& row, int64_t hidden, const At& at, Lanes<Compute<T>, W>* to) {
  const T* run[W];
  for (int i = 0; i < W; ++i) run[i] = row(at(i));
  load_runs<W, T>(run, hidden, to);
}

// The numbers of rows at(i): number(at(i)) in lane i.
template <int W, class R, class At, class Number>
FNET_FN Lanes<R, W> numbers_of_rows(const At& at, const Number& number) {
  R lane[W];
  for (int i = 0; i < W; ++i) lane[i] = number(at(i));
  return Lanes<R, W>::load(lane);
}

// The rows that the transform reads, in lanes, times weight.
template <int W, class T, class At>
FNET_FN void read_rows(const LongSequence<W, T>& s, const At& at, Lanes<Compute<T>, W>* to) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  const InputRows<T>& in = s.in;
  const int64_t d = s.out.hidden;
  load_rows<W, T>([&](int64_t n) { return in.row(n); }, d, at, to);
  const V factor =
      numbers_of_rows<W, R>(at, [&](int64_t n) { return in.factor_or_one(n) * s.weight; });
  if (in.mean) {
    const V mean = numbers_of_rows<W, R>(at, [&](int64_t n) { return in.mean[n]; });
    for (int64_t m = 0; m < d; ++m)
      to[m] = normalize(to[m], mean, factor) * in.weight[m] + V::broadcast(in.bias[m]);
  } else {
    for (int64_t m = 0; m < d; ++m) to[m] = to[m] * factor;
  }
}

// Points of the short axis for lanes m0 to m0 + 2W - 1 of the long one: two groups of W as one
// complex line.
template <int W, class T>
void fold_short(const LongSequence<W, T>& s, int64_t m0) {
  const int64_t N = s.out.seq, d = s.out.hidden;
  if (!s.shape.along_seq) {
    for (int64_t n = 0; n < N; ++n) s.weights[n] = s.in.factor_or_one(n) * s.weight;
    InputRows<T> in = s.in;
    in.factor = s.weights;
    return fold_tiles<W, W>(in, s.plan, d, m0, 1, s.line);
  }
  const auto fold = [&](int64_t n0, auto put) FNET_INLINE_LAMBDA {
    const auto up = [&](int64_t i) FNET_INLINE_LAMBDA { return min_of(n0 + i, N - 1); };
    const auto down = [&](int64_t i) FNET_INLINE_LAMBDA { return mirror(up(i), N); };
    read_rows(s, up, s.tile), read_rows(s, down, s.tile + d);
    for (int64_t m = 0; m < d; ++m)
      put(s.line[s.plan.entry[m]], s.tile[m] + s.tile[d + mirror(m, d)]);
  };
  fold(m0, [](auto& z, auto v) FNET_INLINE_LAMBDA { z.re = v; });
  fold(m0 + W, [](auto& z, auto v) FNET_INLINE_LAMBDA { z.im = v; });
}

// One piece of the short axis: columns m0 .. m0 + 2W - 1 of all lines, and their mirrors.
template <int W, class T>
void short_axis(const LongSequence<W, T>& s, int64_t m0) {
  using R = Compute<T>;
  using Z = Complex<Lanes<R, W>>;
  const int64_t P = s.shape.small, L = s.shape.length;
  fold_short(s, m0);
  line_fft(s.plan, s.line);
  const auto put = [&](int64_t j, int64_t m, Z a, Z b) FNET_INLINE_LAMBDA {
    const int64_t count = min_of<int64_t>(W, half_length(L) - m);
    if (count <= 0) return;
    R *re = s.part(j, 0), *im = s.part(j, 1);
    const Z direct = plus_i(a, b), mirrored = plus_i(conj(a), conj(b));
    const auto reversed = [&](R* p, Lanes<R, W> v) FNET_INLINE_LAMBDA {
      if (count == W) return store<W>(p + L - m - W + 1, reverse(v));
      R lane[W];
      v.store(lane);
      for (int64_t i = 0; i < count; ++i) p[L - m - i] = lane[i];
    };
    reversed(re, mirrored.re), reversed(im, mirrored.im);  // the mirror of 0 is not read
    store_first<W>(re + m, direct.re, count), store_first<W>(im + m, direct.im, count);
  };
  for (int64_t j = 0; j < s.shape.lines(); ++j) {
    const int64_t a = 2 * j, b = min_of(2 * j + 1, half_length(P) - 1);
    const Z z_a = s.line[s.plan.position[a]], m_a = s.line[s.plan.position[P - a]];
    const Z z_b = s.line[s.plan.position[b]], m_b = s.line[s.plan.position[P - b]];
    put(j, m0, even(z_a, m_a), even(z_b, m_b));
    put(j, m0 + W, odd(z_a, m_a), odd(z_b, m_b));
  }
}

// The first `count` of W numbers from place n on.
template <int W, class R>
FNET_FN Complex<Lanes<R, W>> load_first(const LaneTable<R>& table, int64_t n, int64_t count) {
  return {load_first<W>(table.re.data() + n, count), load_first<W>(table.im.data() + n, count)};
}

// The points b i + j of a line for W values of j.
template <int W, class T>
struct LineColumns {
  using R = Compute<T>;
  using Z = Complex<Lanes<R, W>>;
  const LongSequence<W, T>& s;
  int64_t j, count;  // of the values of j
  R *re, *im;

  FNET_FN LineColumns(const LongSequence<W, T>& s, int64_t line, int64_t j)
      : s(s),
        j(j),
        count(min_of<int64_t>(W, s.split.split.b - j)),
        re(s.part(line, 0)),
        im(s.part(line, 1)) {}
  FNET_FN int64_t at(int64_t i) const { return s.split.split.b * i + j; }
  // The number of values of j whose points come before `end`.
  FNET_FN int64_t before(int64_t end, int64_t i) const { return min_of(count, end - at(i)); }
  FNET_FN Z load(int64_t i, int64_t most) const {
    return {load_first<W>(re + at(i), most), load_first<W>(im + at(i), most)};
  }
  FNET_FN void store(int64_t i, Z z, int64_t most) const {
    store_first<W>(re + at(i), z.re, most), store_first<W>(im + at(i), z.im, most);
  }
};

// The sums over i for W values of j, in place.
template <int W, class T>
void sum_over_i(const LongSequence<W, T>& s, int64_t line, int64_t j) {
  using R = Compute<T>;
  const int64_t a = s.split.split.a, L = s.shape.length;
  const LinePlan<R>& plan = *s.split.first;
  const LineColumns<W, T> columns(s, line, j);
  for (int64_t i = 0; i < a; ++i) {
    auto& z = s.line[plan.entry[i]];
    const int64_t count = columns.before(L, i);
    if (count <= 0)
      z = Complex<Lanes<R, W>>{};
    else if (s.shape.is_convolved())
      z = columns.load(i, count) * load_first<W>(s.split.chirp, columns.at(i), count);
    else
      z = columns.load(i, count);
  }
  line_fft(plan, s.line);
  for (int64_t q = 0; q < a; ++q) {
    const auto w = load_first<W>(s.split.twiddles, columns.at(q), columns.count);
    columns.store(q, s.line[plan.position[q]] * w, columns.count);
  }
}

// The sums over q for W values of j, in place: all points up to the mirror of 0.
template <int W, class T>
void sum_over_q(const LongSequence<W, T>& s, int64_t line, int64_t j) {
  using R = Compute<T>;
  const LinePlan<R>& plan = *s.split.first;
  const LineColumns<W, T> columns(s, line, j);
  for (int64_t q = 0; q < s.split.split.a; ++q)
    s.line[plan.entry[q]] = columns.load(q, columns.count);
  line_fft(plan, s.line);
  for (int64_t i = 0, count; (count = columns.before(s.shape.length + 1, i)) > 0; ++i) {
    const auto chirp = load_first<W>(s.split.chirp, columns.at(i), count);
    columns.store(i, s.line[plan.position[i]] * chirp, count);
  }
}

// The sums over j for W values of q, in place of s.line.
template <int W, class T>
void transform_over_j(const LongSequence<W, T>& s, int64_t line, int64_t q, int64_t count) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  const int64_t b = s.split.split.b;
  const LinePlan<R>& plan = *s.split.second;
  const auto load_part = [&](int im, auto put) FNET_INLINE_LAMBDA {
    const R* from = s.part(line, im) + q * b;
    for (int64_t j = 0; j < b; j += W) {
      const int64_t first = min_of(j, b - W);
      V tile[W];
      static_for<W>([&](auto i) FNET_INLINE_LAMBDA {
        tile[i] = load<W>(from + min_of<int64_t>(i, count - 1) * b + first);
      });
      transpose(tile);
      static_for<W>([&](auto i)
                        FNET_INLINE_LAMBDA { put(s.line[plan.entry[first + i]], tile[i]); });
    }
  };
  load_part(0, [](auto& z, auto v) FNET_INLINE_LAMBDA { z.re = v; });
  load_part(1, [](auto& z, auto v) FNET_INLINE_LAMBDA { z.im = v; });
  line_fft(plan, s.line);
}

// The sums over j for W values of q, transposed to rows of r.
template <int W, class T>
void sum_over_j(const LongSequence<W, T>& s, int64_t line, int64_t q) {
  using R = Compute<T>;
  const int64_t a = s.split.split.a, b = s.split.split.b;
  const LinePlan<R>& plan = *s.split.second;
  const int64_t count = min_of<int64_t>(W, a - q);
  transform_over_j(s, line, q, count);
  R *row_a = s.row(2 * line) + q, *row_b = s.row(2 * line + 1) + q;
  for (int64_t r = 0; r < b; ++r) {
    const auto z = s.line[plan.position[r]];
    store_first<W>(row_a + r * a, z.re, count), store_first<W>(row_b + r * a, z.im, count);
  }
  if (q == 0) row_a[a * b] = row_a[0], row_b[a * b] = row_b[0];  // the mirror of 0
}

// The sums over j for W values of q, the product, and the sums over r, in place.
template <int W, class T>
void convolve_over_j(const LongSequence<W, T>& s, int64_t line, int64_t q) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  const int64_t a = s.split.split.a, b = s.split.split.b;
  const LinePlan<R>& plan = *s.split.second;
  const int64_t count = min_of<int64_t>(W, a - q);
  transform_over_j(s, line, q, count);
  Complex<V>* product = s.line + plan.extent;
  for (int64_t r = 0; r < b; ++r)
    product[plan.entry[r]] =
        s.line[plan.position[r]] * load_first<W>(s.split.spectrum, r * a + q, count);
  line_fft(plan, product);
  R *re = s.part(line, 0) + q * b, *im = s.part(line, 1) + q * b;
  for (int64_t j = 0; j < b; j += W) {
    const int64_t first = min_of(j, b - W);
    V tile_re[W], tile_im[W];
    static_for<W>([&](auto i) FNET_INLINE_LAMBDA {
      const Complex<V> z = product[plan.position[first + i]];
      tile_re[i] = z.re, tile_im[i] = z.im;
    });
    transpose(tile_re), transpose(tile_im);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = i * b + first;
      const auto z =
          Complex<V>{tile_re[i], tile_im[i]} * load_first<W>(s.split.twiddles, q * b + at, W);
      store<W>(re + at, z.re), store<W>(im + at, z.im);
    }
  }
}

// One piece of the epilogue: W rows of y, which lie across the rows of r.
template <int W, class T>
void finish_across(const LongSequence<W, T>& s, int64_t n0) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  const int64_t N = s.out.seq, d = s.out.hidden, count = min_of<int64_t>(W, s.out.rows - n0);
  if (count <= 0) return;
  const auto row = [&](int64_t i) FNET_INLINE_LAMBDA { return min_of(n0 + i, s.out.rows - 1); };
  if (s.out.epilogue != Epilogue::kMix) {
    load_rows<W, T>([&](int64_t n) { return s.out.residual + n * s.out.residual_stride; }, d, row,
                    s.tile);
    if (s.out.residual_scale) {
      const V factor = numbers_of_rows<W, R>(
          row, [&](int64_t n) { return with_short_nan(s.out.residual_scale[n]); });
      for (int64_t l = 0; l < d; ++l) s.tile[l] = s.tile[l] * factor;
    }
  }
  finish_lanes<W>(s.out, s.tile, s.out.rstd ? s.out.rstd + n0 : nullptr, 1, count,
                  [&](int64_t l) FNET_INLINE_LAMBDA {
                    if (2 * l <= d) return load<W>(s.row(l) + n0);
                    return reverse(load<W>(s.row(d - l) + N - n0 - W + 1));
                  });
  store_finished<W>(s.out, s.tile, n0 * d, d, count, d);
}

// Pieces [begin, end) of a phase.
template <int W, class T>
void long_pieces(const LongSequence<W, T>& s, LongPhase phase, int64_t begin, int64_t end) {
  // A phase of sums has as many pieces for each line; the others may have fewer pieces than lines.
  const int64_t per_line = s.shape.pieces(phase) / s.shape.lines();
  const auto sums = [&](auto run, int64_t i) { run(s, i / per_line, i % per_line * W); };
  for (int64_t i = begin; i < end; ++i) {
    switch (phase) {
      case LongPhase::kShortAxis: short_axis(s, i * 2 * W); break;
      case LongPhase::kSumOverI: sums(sum_over_i<W, T>, i); break;
      case LongPhase::kSumOverJ: sums(sum_over_j<W, T>, i); break;
      case LongPhase::kConvolveOverJ: sums(convolve_over_j<W, T>, i); break;
      case LongPhase::kSumOverQ: sums(sum_over_q<W, T>, i); break;
      case LongPhase::kEpilogue:
        if (s.shape.along_seq)
          finish_across(s, i * W);
        else
          finish_rows<W>(s.out, i, 1, MixedRows<Compute<T>>{s.row(i), 0},
                         reinterpret_cast<Compute<T>*>(s.line));
    }
  }
}

}  // namespace fnet::FNET_ISA
