// Both passes for W sequences at once, one per lane, for sequences with fewer columns or rows than
// the tiles of the other passes.
//
// With one sequence per lane every loop is over whole rows and columns: the fold needs no reversed
// vectors, LayerNorm no sums across lanes, and only loads and stores transpose. As in the other
// passes, two columns of g share a complex line along seq, and two rows of G a line along hidden.
// Two sequences never share a line: a NaN or a large number would reach the other sequence.
#pragma once

#include "cpu/simd/input_rows.h"
#include "cpu/simd/line_fft.h"
#include "cpu/simd/row_epilogue.h"
#include "cpu/simd/transpose.h"
#include "fft/mirror.h"

namespace fnet::FNET_ISA {

// The scratch of W sequences.
template <int W, class R>
struct SequenceLanes {
  using V = Lanes<R, W>;
  int64_t seq, hidden;
  V* rows;              // [seq, hidden]: what is read, then the residual, x + r, y
  Complex<V>* columns;  // pairs of columns of g, transformed along seq, and a buffer; or null
  Complex<V>* line;     // pair of rows of G, transformed along hidden; or half of a real row
};

// Sets to[i] to element i of W runs of `length` numbers.
template <int W, class T>
void load_runs(const T* const (&run)[W], int64_t length, Lanes<Compute<T>, W>* to) {
  using R = Compute<T>;
  const auto block = [&](int64_t i) FNET_INLINE_LAMBDA {
    Lanes<R, W> tile[W];
    static_for<W>([&](auto s) FNET_INLINE_LAMBDA { tile[s] = load<W>(run[s] + i); });
    transpose(tile);
    static_for<W>([&](auto j) FNET_INLINE_LAMBDA { to[i + j] = tile[j]; });
  };
  int64_t i = 0;
  for (; i + W <= length; i += W) block(i);
  if (i < length && length >= W) return block(length - W);  // overlaps the block before
  for (; i < length; ++i) {
    R lane[W];
    for (int s = 0; s < W; ++s) lane[s] = load_scalar(run[s][i]);
    to[i] = Lanes<R, W>::load(lane);
  }
}

// The reverse: stores the first `count` runs. Streamed runs are whole cache lines.
template <int W, bool Streams, class T>
void store_runs(const Lanes<Compute<T>, W>* from, int64_t pitch, int64_t count, int64_t length,
                T* to) {
  using R = Compute<T>;
  const auto block = [&](int64_t i) FNET_INLINE_LAMBDA {
    Lanes<R, W> tile[W];
    static_for<W>([&](auto j) FNET_INLINE_LAMBDA { tile[j] = from[i + j]; });
    transpose(tile);
    static_for<W>([&](auto s) FNET_INLINE_LAMBDA {
      if (s < count) put<W, Streams>(to + s * pitch + i, tile[s]);
    });
  };
  int64_t i = 0;
  for (; i + W <= length; i += W) block(i);
  if (i < length && length >= W) return block(length - W);
  for (; i < length; ++i) {
    R lane[W];
    from[i].store(lane);
    for (int64_t s = 0; s < count; ++s) store_scalar(to[s * pitch + i], lane[s]);
  }
}

// Folds and transforms all columns. weight = scale / 4: fold and unpacking each contribute 1/2.
template <int W, class R>
void transform_columns(const SequenceLanes<W, R>& s, const LinePlan<R>& plan, R weight) {
  const int64_t d = s.hidden, last = half_length(d) - 1, pairs = paired_lines(d);
  const int64_t pitch = padded_line(s.seq);
  for (int64_t n = 0; n < s.seq; ++n) {
    const auto* row = s.rows + n * d;
    const auto* mirror_row = s.rows + mirror(n, s.seq) * d;
    const auto fold = [&](int64_t m) FNET_INLINE_LAMBDA {
      return (row[m] + mirror_row[mirror(m, d)]) * weight;
    };
    auto* point = s.columns + plan.entry[n];
    for (int64_t j = 0; j < pairs; ++j, point += pitch)
      *point = {fold(2 * j), fold(min_of(2 * j + 1, last))};
  }
  auto* buffer = s.columns + pairs * pitch;  // of a convolution
  for (int64_t j = 0; j < pairs; ++j) run_stages(plan, 0, s.columns + j * pitch, 1, 0, buffer);
}

// Twice the spectra of the two real columns a + i b of a line, from points k and -k of its
// transform.
template <class Z>
FNET_FN Z even(Z z, Z mirrored) {
  return {z.re + mirrored.re, z.im - mirrored.im};
}
template <class Z>
FNET_FN Z odd(Z z, Z mirrored) {
  return {z.im + mirrored.im, mirrored.re - z.re};
}

// Transforms rows a and b of G to r_a + i r_b, at plan.position of s.line.
template <int W, class R>
void transform_row_pair(const SequenceLanes<W, R>& s, const LinePlan<R>& seq_plan,
                        const LinePlan<R>& plan, int64_t a, int64_t b) {
  using Z = Complex<Lanes<R, W>>;
  const int64_t d = s.hidden, pairs = paired_lines(d), pitch = padded_line(s.seq);
  const int64_t at_a = seq_plan.position[a], at_minus_a = seq_plan.position[s.seq - a];
  const int64_t at_b = seq_plan.position[b], at_minus_b = seq_plan.position[s.seq - b];
  const auto pack = [&](int64_t m, Z a, Z b) FNET_INLINE_LAMBDA {
    if (m > 0) s.line[plan.entry[d - m]] = plus_i(conj(a), conj(b));
    s.line[plan.entry[m]] = plus_i(a, b);
  };
  const Z* column = s.columns;
  for (int64_t j = 0; j < pairs; ++j, column += pitch) {
    const Z z_a = column[at_a], m_a = column[at_minus_a];
    const Z z_b = column[at_b], m_b = column[at_minus_b];
    pack(2 * j, even(z_a, m_a), even(z_b, m_b));
    if (2 * (2 * j + 1) <= d) pack(2 * j + 1, odd(z_a, m_a), odd(z_b, m_b));
  }
  line_fft(plan, s.line);
}

// The sum over a row of lanes, accumulated in a sweep<1>.
template <class R, int W>
struct LaneSum {
  Lanes<R, W> chain[kChains] = {};

  template <int Chain>
  FNET_FN void add(At<1, Chain>, Lanes<R, W> a) {
    chain[Chain] += a;
  }
  FNET_FN Lanes<R, W> total() const { return (chain[0] + chain[1]) + (chain[2] + chain[3]); }
};

// The epilogue of a row in lanes, in place, from r(l) = scale M(x)[l]. rstd, or null, is that of
// lane 0; others follow rstd_stride apart. Training keeps the row before the affine part.
template <int W, class T, class Mixed>
FNET_FN void finish_lanes(const RowOutput<T>& out, Lanes<Compute<T>, W>* row, Compute<T>* rstd_of,
                          int64_t rstd_stride, int64_t count, const Mixed& r) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  const int64_t d = out.hidden;
  if (out.epilogue == Epilogue::kMix) {
    for (int64_t l = 0; l < d; ++l) row[l] = r(l);
    return;
  }
  if (out.epilogue == Epilogue::kResidual) {
    for (int64_t l = 0; l < d; ++l) row[l] = row[l] + r(l);
    return;
  }

  LaneSum<R, W> sum, squares;
  sweep<1>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
    row[l] = row[l] + r(l);
    sum.add(at, row[l]);
  });
  const V mean = out.norm == NormType::kRms ? V{} : sum.total() / R(d);
  sweep<1>(d, [&](auto at, int64_t l) FNET_INLINE_LAMBDA {
    const V deviation = row[l] - mean;
    squares.add(at, deviation * deviation);
  });
  R lane[W];
  squares.total().store(lane);
  for (int i = 0; i < W; ++i) lane[i] = reciprocal_std(lane[i], R(d), out.eps);
  const V rstd = V::load(lane);
  if (rstd_of)
    for (int64_t i = 0; i < count; ++i) rstd_of[i * rstd_stride] = lane[i];
  const bool affine = !out.normalized;
  for (int64_t l = 0; l < d; ++l) {
    const V v = normalize(row[l], mean, rstd);
    row[l] = affine ? v * V::broadcast(out.weight[l]) + V::broadcast(out.bias[l]) : v;
  }
}

// Stores `count` runs of `length` finished numbers, `pitch` apart, from element `offset` of y on.
template <int W, class T>
void store_finished(const RowOutput<T>& out, Lanes<Compute<T>, W>* row, int64_t offset,
                    int64_t pitch, int64_t count, int64_t length) {
  using V = Lanes<Compute<T>, W>;
  const auto store = [&](T* to) {
    out.streams ? store_runs<W, true>(row, pitch, count, length, to + offset)
                : store_runs<W, false>(row, pitch, count, length, to + offset);
  };
  if (out.normalized) {
    store(out.normalized);
    for (int64_t i = 0; i < length; i += out.hidden)
      for (int64_t l = 0; l < out.hidden; ++l)
        row[i + l] = row[i + l] * V::broadcast(out.weight[l]) + V::broadcast(out.bias[l]);
  }
  store(out.y);
}

// Reads rows of `count` sequences, x_pitch apart, or of one that zeros follow.
template <int W, class T>
void load_sequences(const SequenceLanes<W, Compute<T>>& s, const T* x, int64_t row_stride,
                    int64_t x_pitch, int64_t count, int64_t rows, const T* zeros) {
  const int64_t d = s.hidden;
  const auto load = [&](int64_t n, int64_t length) {
    const T* run[W];
    for (int i = 0; i < W; ++i)
      run[i] = n < rows ? x + min_of<int64_t>(i, count - 1) * x_pitch + n * row_stride : zeros;
    load_runs<W, T>(run, length, s.rows + n * d);
  };
  if ((row_stride == d || s.seq == 1) && rows == s.seq) return load(0, s.seq * d);
  for (int64_t n = 0; n < s.seq; ++n) load(n, d);
}

// Multiplies the rows by their factors, or normalises them and multiplies by `weight` too.
template <int W, class T>
void read_sequences(const SequenceLanes<W, Compute<T>>& s, const InputRows<T>& in, int64_t count,
                    Compute<T> weight) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  if (!in.factor) return;
  for (int64_t n = 0; n < in.rows; ++n) {
    V* row = s.rows + n * s.hidden;
    const auto lanes_of = [&](const auto& number) FNET_INLINE_LAMBDA {
      R lane[W];
      for (int i = 0; i < W; ++i) lane[i] = number(min_of<int64_t>(i, count - 1) * s.seq + n);
      return V::load(lane);
    };
    const V factor = lanes_of([&](int64_t i) { return in.factor_of(i); });
    if (!in.mean) {
      for (int64_t l = 0; l < s.hidden; ++l) row[l] = row[l] * factor;
      continue;
    }
    const V mean = lanes_of([&](int64_t i) { return in.mean[i]; }), scaled = factor * weight;
    for (int64_t l = 0; l < s.hidden; ++l)
      row[l] = normalize(row[l], mean, scaled) * in.weight[l] + V::broadcast(in.bias[l]);
  }
}

// Replaces the rows by the residual, unless they are it. Pointers do not tell: another view of x
// can begin at its first element.
template <int W, class T>
void load_residual(const SequenceLanes<W, Compute<T>>& s, const InputRows<T>& in,
                   const RowOutput<T>& out, int64_t residual_pitch, int64_t count) {
  const bool differs = !out.residual_is_input || out.residual_scale != in.factor;
  if (out.epilogue != Epilogue::kMix && differs)
    load_sequences<W>(s, out.residual, out.residual_stride, residual_pitch, count, in.rows,
                      in.zeros);
}

// The mix of `count` sequences. `in` and `out` are of the first, and the following ones lie x_pitch
// and residual_pitch apart.
template <int W, class T>
void mix_sequences(const SequenceLanes<W, Compute<T>>& s, const LinePlan<Compute<T>>& seq_plan,
                   const LinePlan<Compute<T>>& hidden_plan, const InputRows<T>& in,
                   const RowOutput<T>& out, int64_t x_pitch, int64_t residual_pitch, int64_t count,
                   Compute<T> scale) {
  using R = Compute<T>;
  using V = Lanes<R, W>;
  const int64_t N = s.seq, d = s.hidden;
  const R quarter = scale / 4;
  load_sequences<W>(s, in.x, in.stride, x_pitch, count, in.rows, in.zeros);
  read_sequences<W>(s, in, count, quarter);
  transform_columns(s, seq_plan, in.mean ? R(1) : quarter);
  load_residual(s, in, out, residual_pitch, count);
  for (int64_t a = 0; 2 * a <= N; a += 2) {
    const int64_t b = min_of(a + 1, N / 2);
    transform_row_pair(s, seq_plan, hidden_plan, a, b);
    const auto* line = s.line;
    const int32_t* position = hidden_plan.position;
    const auto finish_row = [&](int64_t n, const auto& r) FNET_INLINE_LAMBDA {
      if (n < out.rows)
        finish_lanes<W>(out, s.rows + n * d, out.rstd ? out.rstd + n : nullptr, N, count, r);
    };
    const auto finish = [&](int64_t k, auto part) FNET_INLINE_LAMBDA {
      finish_row(k, [&](int64_t l) FNET_INLINE_LAMBDA { return part(line[position[l]]); });
      if (mirror(k, N) == k) return;
      finish_row(mirror(k, N),
                 [&](int64_t l) FNET_INLINE_LAMBDA { return part(line[position[d - l]]); });
    };
    finish(a, [](const Complex<V>& z) FNET_INLINE_LAMBDA { return z.re; });
    if (b != a) finish(b, [](const Complex<V>& z) FNET_INLINE_LAMBDA { return z.im; });
  }
  store_finished<W>(out, s.rows, 0, N * d, count, out.rows * d);
}

}  // namespace fnet::FNET_ISA
