// First pass, x -> G: fold, then the transform along seq, for blocks of 2 W columns.
//
// Lanes are columns. Two blocks of W real columns a and b travel as one complex line z = a + i b;
// after the transform  A_k = (Z_k + conj Z_{-k}) / 2  and  B_k = (Z_k - conj Z_{-k}) / 2i.
#pragma once

#include "cpu/line_fft.h"
#include "cpu/spectrum.h"
#include "cpu/storage.h"
#include "cpu/transpose.h"

namespace fnet::FNET_ISA {

// The sequence that a pass reads: row n of x, with the weight that it carries into the fold.
template <class T>
struct SeqInput {
  const T* x;
  int64_t row_stride;
  // weight[n] = row_scale[n] * scale / 4: the fold's half and the unpacking's.
  const Compute<T>* weight;
};

// W columns of a row starting at m, going up; any m in [0, hidden), wrapping round.
template <int W, class T>
FNET_FN Lanes<Compute<T>, W> columns_up(const T* row, int64_t hidden, int64_t m) {
  if (m + W <= hidden) return load<W>(row + m);
  Compute<T> lane[W];
  for (int i = 0; i < W; ++i) lane[i] = load_scalar(row[(m + i) % hidden]);
  return Lanes<Compute<T>, W>::load(lane);
}

// The mirror columns -m, -(m + 1), ..., going down.
template <int W, class T>
FNET_FN Lanes<Compute<T>, W> columns_down(const T* row, int64_t hidden, int64_t m) {
  if (m > 0 && m + W <= hidden + 1) return reverse(load<W>(row + hidden - m - (W - 1)));
  Compute<T> lane[W];
  for (int i = 0; i < W; ++i) lane[i] = load_scalar(row[mirror((m + i) % hidden, hidden)]);
  return Lanes<Compute<T>, W>::load(lane);
}

template <class V>
struct ColumnPair {
  Complex<V> a, b;
};

// Twice A_k and B_k; the halves are in the weights.
template <class V>
FNET_FN ColumnPair<V> unpack_pair(Complex<V> z, Complex<V> mirrored) {
  return {{z.re + mirrored.re, z.im - mirrored.im}, {z.im + mirrored.im, mirrored.re - z.re}};
}

// Point n of the line <- columns m0 .. m0 + 2W - 1 of row n of g.
template <int W, class T>
void fold_block(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden, int64_t m0,
                Complex<Lanes<Compute<T>, W>>* line) {
  const int64_t seq = plan.length;
  const int64_t ma = m0 % hidden, mb = (m0 + W) % hidden;
  for (int64_t n = 0; n < seq; ++n) {
    const int64_t minus_n = mirror(n, seq);
    const T* row = in.x + n * in.row_stride;
    const T* mirror_row = in.x + minus_n * in.row_stride;
    const Compute<T> w = in.weight[n], mirror_w = in.weight[minus_n];
    line[plan.entry[n]] = {
        columns_up<W>(row, hidden, ma) * w + columns_down<W>(mirror_row, hidden, ma) * mirror_w,
        columns_up<W>(row, hidden, mb) * w + columns_down<W>(mirror_row, hidden, mb) * mirror_w};
  }
}

// Takes the transformed line apart, W rows k at a time, and turns them: lanes become rows of G.
template <int W, class R>
void unpack_block(const LinePlan<R>& plan, const Complex<Lanes<R, W>>* line, int64_t hidden,
                  int64_t m0, R* G) {
  using V = Lanes<R, W>;
  const int64_t seq = plan.length;
  const SpectrumLayout layout{seq, hidden, W};
  const int64_t columns = layout.columns();
  const int in_a = int(least<int64_t>(W, columns - m0));
  const int in_b = int(least<int64_t>(W, columns - m0 - W));
  for (int64_t band = 0; band < layout.bands(); ++band) {
    V a_re[W], a_im[W], b_re[W], b_im[W];
    static_for<W>([&](auto i) FNET_INLINE_LAMBDA {
      const int64_t k = least(band * W + i, layout.rows() - 1);
      const ColumnPair<V> g =
          unpack_pair(line[plan.position[k]], line[plan.position[mirror(k, seq)]]);
      a_re[i] = g.a.re, a_im[i] = g.a.im, b_re[i] = g.b.re, b_im[i] = g.b.im;
    });
    transpose(a_re);
    transpose(a_im);
    R* to = G + layout.at(band, m0);
    for (int c = 0; c < in_a; ++c, to += 2 * W) a_re[c].store(to), a_im[c].store(to + W);
    if (in_b <= 0) continue;
    transpose(b_re);
    transpose(b_im);
    for (int c = 0; c < in_b; ++c, to += 2 * W) b_re[c].store(to), b_im[c].store(to + W);
  }
}

// Columns m0 .. m0 + 2W - 1 of g through the transform into G; `line` is scratch of
// line_extent(length) places.
template <int W, class T>
void seq_block(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden, int64_t m0,
               Complex<Lanes<Compute<T>, W>>* line, Compute<T>* G) {
  fold_block<W>(in, plan, hidden, m0, line);
  line_fft(plan, line);
  unpack_block<W>(plan, line, hidden, m0, G);
}

}  // namespace fnet::FNET_ISA
