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
  Compute<T> lane[W + 1];
  if (m == 0 && W <= hidden) {  // every sequence's first columns: 0, then the row's end
    lane[0] = load_scalar(row[0]);
    reverse(load<W>(row + hidden - W)).store(lane + 1);
  } else {
    for (int i = 0; i < W; ++i) lane[i] = load_scalar(row[mirror((m + i) % hidden, hidden)]);
  }
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

// m modulo hidden, without the division that only the last blocks of a narrow x need.
FNET_FN int64_t wrap(int64_t m, int64_t hidden) { return m < hidden ? m : m % hidden; }

// Neighbouring blocks are folded together, up to this many columns and while their lines fit in a
// quarter of an L2: rows of x are then read in longer runs. Longer ones still read faster, but
// their lines then come back from further away: 64 columns took a tenth more of the pass.
constexpr int64_t kRunColumns = 32;
constexpr int64_t kGroupBytes = 256 * 1024;

// Rows of x are fetched this far ahead of the fold. They lie a row's length apart, which no
// hardware prefetcher follows, and the fold's instructions fill the reorder window before it holds
// enough loads: a third of the op's time in 16 bits, a tenth in float32. Into the second cache
// only: rows of a power of two share a few sets of the first.
constexpr int64_t kRowsAhead = 32, kCacheLine = 64;

// Tells the second cache that the `bytes` from p on are needed soon: every line of them, since one
// that is left out is waited for each time. p may point anywhere.
FNET_FN void fetch_early(const void* p, int64_t bytes) {
  const intptr_t begin = reinterpret_cast<intptr_t>(p);
  for (intptr_t line = begin & -kCacheLine; line < begin + bytes; line += kCacheLine)
    __builtin_prefetch(reinterpret_cast<const void*>(line), 0, 2);
}

template <class V>
FNET_FN int64_t group_size(int64_t seq) {
  const int64_t fitting = kGroupBytes / (line_extent(seq) * int64_t(sizeof(Complex<V>)));
  return fitting < 1 ? 1 : least(fitting, kRunColumns / (2 * V::kWidth));
}

// Point n of line i <- columns m0 + 2Wi .. m0 + 2W(i + 1) - 1 of row n of g, for i < count.
template <int W, class T>
void fold_blocks(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
                 int64_t m0, int64_t count, Complex<Lanes<Compute<T>, W>>* lines) {
  const int64_t seq = plan.length, run = count * 2 * W;
  for (int64_t n = 0; n < seq; ++n) {
    const int64_t minus_n = mirror(n, seq);
    const T* row = in.x + n * in.row_stride;
    const T* mirror_row = in.x + minus_n * in.row_stride;
    const Compute<T> w = in.weight[n], mirror_w = in.weight[minus_n];
    const auto fold = [&](int64_t m) FNET_INLINE_LAMBDA {
      return columns_up<W>(row, hidden, m) * w + columns_down<W>(mirror_row, hidden, m) * mirror_w;
    };
    if (n + kRowsAhead < seq) {
      fetch_early(row + kRowsAhead * in.row_stride + m0, run * int64_t(sizeof(T)));
      fetch_early(in.x + (seq - n - kRowsAhead) * in.row_stride + (hidden - m0 - run + 1),
                  run * int64_t(sizeof(T)));
    }
    Complex<Lanes<Compute<T>, W>>* point = lines + plan.entry[n];
    for (int64_t i = 0; i < count; ++i) {
      const int64_t m = m0 + i * 2 * W;
      point[i * line_extent(seq)] = {fold(wrap(m, hidden)), fold(wrap(m + W, hidden))};
    }
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
  const int in_b = int(least<int64_t>(W, columns - m0 - in_a));
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
    // A long G is not in the second cache either, and stores wait for their lines as loads do.
    fetch_early(to + layout.band_size(), (in_a + in_b) * 2 * W * int64_t(sizeof(R)));
    for (int c = 0; c < in_a; ++c, to += 2 * W) a_re[c].store(to), a_im[c].store(to + W);
    if (in_b == 0) continue;
    transpose(b_re);
    transpose(b_im);
    for (int c = 0; c < in_b; ++c, to += 2 * W) b_re[c].store(to), b_im[c].store(to + W);
  }
}

// Blocks [begin, end) of columns through the transform into G; `lines` is scratch of group_size()
// lines.
template <int W, class T>
void seq_pass(const SeqInput<T>& in, const LinePlan<Compute<T>>& plan, int64_t hidden,
              int64_t begin, int64_t end, Complex<Lanes<Compute<T>, W>>* lines, Compute<T>* G) {
  const int64_t group = group_size<Lanes<Compute<T>, W>>(plan.length);
  for (int64_t first = begin; first < end; first += group) {
    const int64_t count = least(group, end - first);
    fold_blocks<W>(in, plan, hidden, first * 2 * W, count, lines);
    for (int64_t i = 0; i < count; ++i) {
      Complex<Lanes<Compute<T>, W>>* line = lines + i * line_extent(plan.length);
      line_fft(plan, line);
      unpack_block<W>(plan, line, hidden, (first + i) * 2 * W, G);
    }
  }
}

}  // namespace fnet::FNET_ISA
