// The kernel row_grad; see kernels.h.
//
// A line computes LayerNorm's gradient of up to four rows, k1 = k, k2 = k + N/2 and their mirror
// images, folds each with its image, and transforms both sums as one complex line. With Z the
// transform of g[k1] + i g[k2],
//
//   2 H[k1, m] = Z[m] + conj Z[-m],   2i H[k2, m] = Z[m] - conj Z[-m],   H[-k, m] = conj H[k, m].
#pragma once

#include "core/layer_norm.h"
#include "cuda/kernels.h"
#include "cuda/row_line.h"
#include "fft/mirror.h"

namespace fnet {

// Rows are split into vectors of 16 bytes; thread t of L has vectors t, t + L, ...
template <class T, int Shape>
struct RowGradient {
  using K = RowLine<Shape>;
  static constexpr int kWidth = 16 / int(sizeof(T)), kVectors = K::kPoints / kWidth;
  using V = Vec<T, kWidth>;

  const RowGradArgs<T>& args;
  Shared<float> totals;  // [2, hidden]: this line's sums for dweight and dbias
  int line_thread;

  FNET_DEVICE int column(int v) const { return (line_thread + K::kLineThreads * v) * kWidth; }

  FNET_DEVICE void clear() const {
    static_for<K::kPoints / 2>([&](auto i) {
      totals.template store<4>((line_thread + K::kLineThreads * i) * 4, Vec<float, 4>{});
    });
  }

  // Computes du of a row. Stores it and adds it to the totals only if `wanted`.
  FNET_DEVICE void row(int64_t row, bool wanted, LineSum<Shape>& sum,
                       float (&du)[K::kPoints]) const {
    // Plain loads, because the compiler would hoist read-only loads of whole rows, and spill.
    V dy[kVectors], xhat[kVectors];
    static_for<kVectors>([&](auto v) {
      dy[v] = load_global<kWidth>(args.grad + row * K::kLength + column(v));
      xhat[v] = load_global<kWidth>(args.normalized + row * K::kLength + column(v));
    });
    float total_g = 0, total_gx = 0;
    static_for<kVectors>([&](auto v) {
      auto g = widened(dy[v]);
      const auto x = widened(xhat[v]);
      if (args.weight) {
        const auto w = widened(load_global<kWidth, Cache::kReadOnly>(args.weight + column(v)));
        static_for<kWidth>([&](auto e) { g[e] *= w[e]; });
      }
      static_for<kWidth>([&](auto e) {
        total_g += g[e];
        total_gx += g[e] * x[e];
        du[v * kWidth + e] = g[e];
      });
    });
    constexpr float kInverse = 1.0f / K::kLength;
    const float mean_g = sum(total_g) * kInverse, mean_gx = sum(total_gx) * kInverse;
    const float rstd = load_global(args.rstd + row);
    static_for<kVectors>([&](auto v) {
      sync_warp();  // bounds the loads in flight, hence registers
      const auto x = widened(xhat[v]);
      float out[kWidth];
      static_for<kWidth>([&](auto e) {
        constexpr int i = v * kWidth + e;
        du[i] = out[e] = norm_gradient(du[i], x[e], mean_g, mean_gx) * rstd;
      });
      if (wanted) store_global(args.du + row * K::kLength + column(v), rounded<T>(out));
      if (wanted && args.partials) add(v, widened(dy[v]), x);
    });
  }

  // Stores a row of floats to shared memory.
  FNET_DEVICE void put(Shared<float> to, const float (&row)[K::kPoints]) const {
    const int base = swizzled(line_thread * kWidth);
    static_for<K::kPoints / 4>([&](auto q) {
      constexpr int i = 4 * q;
      to.template store<4>(place<i>(base), {row[i], row[i + 1], row[i + 2], row[i + 3]});
    });
  }

  // row[l] += from[-l]. Of each four columns, three are in one reversed vector of `from`. The first
  // column is the first number of the next vector, which the previous thread has read.
  FNET_DEVICE void add_mirrored(Shared<float> from, float (&row)[K::kPoints]) const {
    float first[K::kPoints / 4];
    const int mirror_base = swizzled((K::kLineThreads - 1 - line_thread) * kWidth);
    static_for<K::kPoints / 4>([&](auto q) {
      constexpr int i = 4 * q;
      const auto four = from.template load<4>(place<K::kPoints - 4 - i>(mirror_base));
      row[i + 1] += four[3], row[i + 2] += four[2], row[i + 3] += four[1];
      first[i / 4] = four[0];
    });
    const int thread = thread_index() % kWarp;
    const bool alone = thread == 0 || line_thread == 0;
    static_for<K::kPoints / 4>([&](auto q) {
      constexpr int i = 4 * q;
      if constexpr (i % kWidth > 0) {
        row[i] += first[i / 4 - 1];
      } else {
        float before = shuffle(first[(i + kWidth) / 4 - 1], thread - 1);
        if (alone) before = from.load(swizzled(mirror(column(i / kWidth), K::kLength)));
        row[i] += before;
      }
    });
  }

 private:
  // The place of register I and the next three, from that of register 0.
  template <int I>
  static FNET_FN constexpr int place(int base) {
    constexpr int kRange = K::kLineThreads * kWidth;
    return swizzled_on<kRange, I / kWidth * kRange + I % kWidth>(base);
  }

  // Adds vector v to the sums for dweight and dbias.
  template <class I>
  FNET_DEVICE void add(I v, const Vec<float, kWidth>& dy, const Vec<float, kWidth>& xhat) const {
    const int base = swizzled(line_thread * kWidth);
    static_for<kWidth / 4>([&](auto q) {
      const int at = place<v * kWidth + 4 * q>(base);
      auto dweight = totals.template load<4>(at), dbias = totals.template load<4>(K::kLength + at);
      static_for<4>([&](auto e) {
        dweight[e] += dy[4 * q + e] * xhat[4 * q + e];
        dbias[e] += dy[4 * q + e];
      });
      totals.template store<4>(at, dweight);
      totals.template store<4>(K::kLength + at, dbias);
    });
  }
};

// Writes rows of the packed spectrum from Z in shared memory. out: F[0] and F[1] of row k, stored
// if `is_valid`, then of its image, row -k2, stored if `has_image`.
template <int Shape>
FNET_DEVICE void write_spectrum(Shared<Complex<float>> Z, int line_thread,
                                Complex<float>* const (&out)[4], bool is_valid, bool has_image) {
  using K = RowLine<Shape>;
  using Point = Complex<float>;
  // Columns 2j and 2j + 1 of H, from these columns of Z and their mirrors.
  const auto write = [&](int j, Point a, Point b, Point minus_a, Point minus_b) {
    const Point a1 = a + conj(minus_a), a2 = mul_minus_i(a - conj(minus_a));
    const Point b1 = b + conj(minus_b), b2 = mul_minus_i(b - conj(minus_b));
    const Point a_sum = a1 + a2, a_difference = a1 - a2;
    const Point b_sum = b1 + b2, b_difference = b1 - b2;
    if (is_valid) {
      store_global(out[0] + j, plus_i(a_sum, b_sum));
      store_global(out[1] + j, plus_i(a_difference, b_difference));
    }
    if (has_image) {
      store_global(out[2] + j, plus_i(conj(a_sum), conj(b_sum)));
      store_global(out[3] + j, plus_i(conj(a2 - a1), conj(b2 - b1)));
    }
  };
  const int thread = thread_index() % kWarp;
  static_for<K::kPoints / 4>([&](auto i) {
    sync_warp();  // bounds the loads in flight, hence registers
    const int j = line_thread + K::kLineThreads * i;
    const auto here = Z.template load<2>(2 * j);
    const auto there = Z.template load<2>(K::kLength - 2 * j - 2);  // columns -2j - 2, -2j - 1
    Point minus_a = {shuffle(there[0].re, thread - 1), shuffle(there[0].im, thread - 1)};
    if (thread == 0 || line_thread == 0) minus_a = Z.load(mirror(2 * j, K::kLength));
    write(j, here[0], here[1], minus_a, there[1]);
  });
  // Column d / 2 has no partner, because column d / 2 + 1 is a mirror image.
  constexpr int kHalf = K::kLength / 2;
  const Point nyquist = line_thread == 0 ? Z.load(kHalf) : Point{0, 0};
  if (line_thread == 0) write(kHalf / 2, nyquist, {0, 0}, nyquist, {0, 0});
}

// Writes the block's totals, the sums over its lines, to args.partials.
template <class T, int Shape>
FNET_DEVICE void write_totals(const RowGradArgs<T>& args, Shared<float> totals) {
  using K = RowGradBlock<Shape>;
  float* to = args.partials + int64_t(blockIdx.x) * K::kTotals;
  for (int l = thread_index() * 4; l < K::kTotals; l += K::kThreads * 4) {
    Vec<float, 4> total = {};
    if (!args.overwrite) total = load_global<4>(to + l);
    const int at = l < K::kLength ? swizzled(l) : K::kLength + swizzled(l - K::kLength);
    for (int slot = 0; slot < K::kLines; ++slot) {
      const auto more = totals.template load<4>(slot * K::kTotals + at);
      static_for<4>([&](auto e) { total[e] += more[e]; });
    }
    store_global(to + l, total);
  }
}

template <class T, int Shape>
FNET_KERNEL_BOUNDS((RowBlock<Shape>::kThreads), (kRowShapes[Shape].template blocks<T>().grad))
void row_grad_kernel(RowGradArgs<T> args) {
  using K = RowLine<Shape>;
  static_assert(
      fit(kRowShapes[Shape].template blocks<T>().grad, RowGradBlock<Shape>::kSharedBytes));
  constexpr int kTotals = RowGradBlock<Shape>::kTotals;
  const int line_thread = thread_index() % K::kLineThreads, slot = thread_index() / K::kLineThreads;
  const int half = args.seq / 2, lines = row_lines(args.seq);
  const int64_t all = args.batch * lines;
  for (int64_t i = int64_t(blockIdx.x) * K::kThreads + threadIdx.x; i < args.flag_count;
       i += args.grid_size * K::kThreads)
    store_global(args.flags + i, 0);

  const int tile = slot * K::kTile * int(sizeof(Complex<float>));
  const auto places = shared_memory<float>(K::kLines * K::kTile * int(sizeof(Complex<float>)));
  const auto totals = places + K::kLines * K::kSums * K::kWarps;
  if (args.partials) RowGradient<T, Shape>{args, totals + slot * kTotals, line_thread}.clear();

  for (int iteration = 0; iteration < args.iterations; ++iteration) {
    const int64_t requested = (iteration * args.grid_size + int64_t(blockIdx.x)) * K::kLines + slot;
    const bool is_valid = requested < all;
    const int64_t index = is_valid ? requested : all - 1;
    const int64_t b = index / lines * args.seq;
    const int k = int(index % lines);
    const bool has_pair = k + half != mirror(k, args.seq);  // row N/4 is its own pair
    LineSum<Shape> sum{places + slot * K::kSums * K::kWarps, line_thread};
    const typename K::Fft fft{shared_memory<Complex<float>>(tile), opaque(line_thread), 0};
    fft.sync();  // after clearing the totals, or after the last iteration's reads of the tile

    for (int i = 0; i < 2; ++i) {
      const RowGradient<T, Shape> gradient{args, totals + slot * kTotals, opaque(line_thread)};
      const int n = k + half * i, minus_n = mirror(n, args.seq);
      const bool is_mine = is_valid && (i == 0 || has_pair);
      float du[K::kPoints];
      // The image uses the place of the second row, which is still unused.
      const auto plane = shared_memory<float>(tile), image = plane + K::kLength;
      gradient.row(b + minus_n, is_mine && minus_n != n, sum, du);
      gradient.put(image, du);
      fft.sync();
      gradient.row(b + n, is_mine, sum, du);
      gradient.add_mirrored(image, du);
      fft.sync();
      gradient.put(plane + i * K::kLength, du);
    }
    fft.sync();

    Complex<float> z[K::kPoints];
    const auto plane = shared_memory<float>(tile);
    const int base = swizzled(fft.line_thread);
    static_for<K::kPoints>([&](auto i) {
      constexpr int R = K::kRadix, C = K::kLineThreads * (i / R) + K::kColumns * (i % R);
      const int l = swizzled_on<K::kLineThreads, C>(base);
      z[i] = {plane.load(l), plane.load(K::kLength + l)};
    });
    fft.sync();
    fft.template finish<0>(z);
    fft.sync();
    static_for<K::kPoints>(
        [&](auto i) { fft.tile.store(K::Fft::frequency(fft.line_thread, i), z[i]); });
    fft.sync();

    const int image = mirror(k, half);
    const auto out = [&](int n) { return args.spectrum + (b + n) * args.pitch; };
    Complex<float>* const to[] = {out(k), out(half + k), out(image), out(half + image)};
    write_spectrum<Shape>(fft.tile, fft.line_thread, to, is_valid, is_valid && image != k);
  }

  if (!args.partials) return;
  sync_threads();
  write_totals<T, Shape>(args, totals);
}

template <class T>
int launch_row_grad(const RowGradArgs<T>& args, int shape, void* stream) {
  int status = 0;
  with_row_shape(shape, [&](auto i) {
    using K = RowGradBlock<i>;
    status = launch<row_grad_kernel<T, i>>({.name = "row_grad",
                                            .grid = dim3(unsigned(args.grid_size)),
                                            .block = dim3(K::kThreads),
                                            .shared_bytes = size_t(K::kSharedBytes),
                                            .stream = stream},
                                           args);
  });
  return status;
}

}  // namespace fnet
