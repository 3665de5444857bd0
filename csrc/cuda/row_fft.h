// launch_row_fft, defined: see kernels.h.
//
// A line takes the spectrum's rows k1 = k and k2 = k + N/2 and gives up to four rows of y: these
// and their mirror images. With G[k, m] the transform of column m,
//
//   2 G[k, 2j] = F[k, j] + conj F[-k, j],   2i G[k, 2j + 1] = F[k, j] - conj F[-k, j],
//   r[k, l] = sum_m G[k, m] w_d^{lm},       G[k, -m] = conj G[k, m],
//
// so r is real, and the transform of G[k1] + i G[k2] is r[k1] + i r[k2]. Output row k is r[k, l],
// row -k is r[k, -l].
//
// Rows k1 and k2 are F[0, k] and F[1, k], added and subtracted. Rows -k1 and -k2 come alike from
// row N/2 - k, with the signs exchanged, since it is -k2; but from row 0 if k is 0, where it is
// -k1.
#pragma once

#include "core/layer_norm.h"
#include "cuda/kernels.h"
#include "cuda/row_line.h"
#include "fft/mirror.h"

namespace fnet {

// Two butterflies of the first stage. Because of G[-m] = conj G[m] the second half of a row's
// elements m = b + C a is the first half of -b's, and the outputs for -b are the conjugates of
// those for b. So thread b > 0 transforms row k1 and row k2 apart and combines them into
// butterflies b and -b. Thread 0 has both rows in one for b = 0, and both in one for b = C / 2,
// where -b is b.
//
// F: F[0] and F[1] of row k, then of its image. sign: of the image's F[1] in row -k1.
template <int Shape>
FNET_DEVICE void first_stage(const typename RowLine<Shape>::Fft& fft,
                             const Complex<float>* const (&F)[4], float sign) {
  using K = RowLine<Shape>;
  using Point = Complex<float>;
  constexpr int R = K::kRadix, C = K::kColumns;
  const int b = fft.lane;
  const bool first = b == 0;
  const int minus_b = first ? C / 2 : C - b;
  const bool odd = b % 2 != 0;  // of m too, and of -m

  // 2 G[k1, m] and 2 G[k2, m], m = b or -b for a = 0 and C further for each a.
  const auto spectrum = [&](const Point* const(&at)[4], auto a) {
    Point part[2];  // of F[0] and of F[1]
    static_for<2>([&](auto p) {
      const Point f = load_global<Cache::kReadOnly>(at[p] + a * (C / 2));
      Point g = load_global<Cache::kReadOnly>(at[2 + p] + a * (C / 2));
      if (p == 1) g = {g.re * sign, g.im * sign};
      const Point sum = f + conj(g), turned = mul_minus_i(f - conj(g));
      part[p] = {odd ? turned.re : sum.re, odd ? turned.im : sum.im};
    });
    return std::pair{part[0] + part[1], part[0] - part[1]};
  };
  const Point *at_b[4], *at_minus_b[4];
  static_for<4>([&](auto i) {
    at_b[i] = F[i] + b / 2;
    at_minus_b[i] = F[i] + minus_b / 2;
  });

  Point z[2][R];  // butterfly 0 and 1
  static_for<R / 2>([&](auto a) {
    if constexpr (a > 0) sync_warp();  // bounds the loads in flight, hence registers
    const auto [p1, p2] = spectrum(at_b, a);
    const auto [q1, q2] = spectrum(at_minus_b, a);
    if (first) {
      z[0][a] = plus_i(p1, p2);
      if constexpr (a > 0) z[0][R - a] = plus_i(conj(p1), conj(p2));
      z[1][a] = plus_i(q1, q2);
      z[1][R - 1 - a] = plus_i(conj(q1), conj(q2));
    } else {
      z[0][a] = p1;
      z[0][R - 1 - a] = conj(q1);
      z[1][a] = p2;
      z[1][R - 1 - a] = conj(q2);
    }
  });
  if (first) {
    const auto [p1, p2] = spectrum(at_b, constant<R / 2>);
    z[0][R / 2] = plus_i(p1, p2);
  }

  Dft<R>::run(z[0]);
  Dft<R>::run(z[1]);
  const Twiddles<R, C> twiddle(first ? C / 2 : b);
  static_for<R - 1>([&](auto i) {
    constexpr int p = i + 1;
    const Point w = twiddle(p), turned = z[0][p] * w;
    z[0][p] = {first ? z[0][p].re : turned.re, first ? z[0][p].im : turned.im};
    z[1][p] = z[1][p] * w;
  });
  static_for<R>([&](auto p) {
    const Point one = z[0][p], two = z[1][p];
    const Point plus = plus_i(one, two), minus = plus_i(conj(one), conj(two));
    z[0][p] = {first ? one.re : plus.re, first ? one.im : plus.im};
    z[1][p] = {first ? two.re : minus.re, first ? two.im : minus.im};
  });
  fft.template put<0>(z[0], b, 0);
  fft.template put<0>(z[1], minus_b, 0);
}

// A row's vectors of 16 bytes: thread t has vectors t, t + L, ...
template <class T, int Shape>
struct RowOutput {
  using K = RowLine<Shape>;
  static constexpr int kWidth = 16 / int(sizeof(T)), kVectors = K::kPoints / kWidth;
  static_assert(K::kPoints % kWidth == 0);

  const RowFftArgs<T>& args;
  RowSum<Shape>& sum;
  int lane;

  // Rows k and -k of sequence b from r[k], at `r_at`.
  FNET_DEVICE void finish_pair(Shared<float> r_at, int64_t b, int k, bool wanted) {
    constexpr int W = kWidth;
    float r[K::kPoints], m[K::kPoints];
    const int first = swizzled(lane * W);
    static_for<kVectors>([&](auto v) {
      static_for<W / 4>([&](auto i) {
        constexpr int C = K::kLanes * W * v + 4 * i;
        const auto four = r_at.template load<4>(swizzled_on<K::kLanes * W, C>(first));
        static_for<4>([&](auto e) { r[v * W + 4 * i + e] = four[e]; });
      });
    });
    // The vectors of row -k are those of r turned round and moved on by one: each needs the first
    // number of the next thread's.
    const int thread = thread_index() % kWarp;
    const bool last = thread == kWarp - 1 || lane == K::kLanes - 1;
    static_for<kVectors>([&](auto v) {
      const int l = (lane + K::kLanes * v + 1) * W;
      m[v * W] = shuffle(r[v * W], thread + 1);
      if (last) m[v * W] = r_at.load(swizzled(l < K::kLength ? l : 0));
      static_for<W - 1>([&](auto e) { m[v * W + e + 1] = r[v * W + W - 1 - e]; });
    });
    const int minus_k = mirror(k, args.seq);
    finish<false>(b, k, wanted, r);
    finish<true>(b, minus_k, wanted && minus_k != k, m);
  }

 private:
  // Where the thread's vector v of a row begins.
  template <bool Mirrored>
  FNET_DEVICE int column(int v) const {
    const int i = lane + K::kLanes * v;
    return (Mirrored ? K::kLength / kWidth - 1 - i : i) * kWidth;
  }

  // Row n of sequence b from r, whose element e of vector v is r[v * kWidth + e].
  // Nothing is written unless `wanted`, but every thread comes here: the sums need all of them.
  template <bool Mirrored>
  FNET_DEVICE void finish(int64_t b, int n, bool wanted, const float (&r)[K::kPoints]) {
    const int64_t row = b * args.seq + n;
    T* y = args.y + row * K::kLength;
    using Numbers = float[kWidth];

    float u[K::kPoints];
    if (args.epilogue == Epilogue::kMix) {
      static_for<K::kPoints>([&](auto i) { u[i] = r[i] * args.scale; });
    } else {
      const T* x = args.x + b * args.batch_stride + n * args.row_stride;
      // The compiler asks for constants early, which takes registers that only lines of one warp in
      // 16 bits have to spare.
      constexpr bool kEarly = sizeof(T) == 2 && K::kWarps == 0;
      constexpr Cache kAs = kEarly ? Cache::kReadOnly : Cache::kDefault;
      static_for<kVectors>([&](auto v) {
        const auto in = widened(load_global<kWidth, kAs>(x + column<Mirrored>(v)));
        static_for<kWidth>([&](auto e) {
          constexpr int i = v * kWidth + e;
          u[i] = in[e] + r[i] * args.scale;
        });
      });
    }
    const auto numbers = [&](auto v) -> Numbers& {
      return *reinterpret_cast<Numbers*>(u + v * kWidth);
    };
    if (args.epilogue != Epilogue::kNorm) {
      static_for<kVectors>([&](auto v) {
        if (wanted) write(y + column<Mirrored>(v), numbers(v));
      });
      return;
    }

    constexpr float kInverse = 1.0f / K::kLength;
    float total = 0;
    static_for<K::kPoints>([&](auto i) { total += u[i]; });
    const float mean = sum(total) * kInverse;
    total = 0;
    static_for<K::kPoints>([&](auto i) { total += (u[i] - mean) * (u[i] - mean); });
    const float rstd = reciprocal_std(sum(total) * kInverse, 1.0f, args.eps);
    static_for<K::kPoints>([&](auto i) { u[i] = normalize(u[i], mean, rstd); });
    if (args.rstd && wanted && lane == 0) store_global(args.rstd + row, rstd);
    T* normalized = args.normalized ? args.normalized + row * K::kLength : nullptr;
    static_for<kVectors>([&](auto v) {
      sync_warp();  // bounds the loads in flight, hence registers
      const int at = column<Mirrored>(v);
      Numbers& out = numbers(v);
      if (normalized && wanted) write(normalized + at, out);
      if (args.weight) {
        const auto w = widened(load_global<kWidth, Cache::kReadOnly>(args.weight + at));
        static_for<kWidth>([&](auto e) { out[e] *= w[e]; });
      }
      if (args.bias) {
        const auto w = widened(load_global<kWidth, Cache::kReadOnly>(args.bias + at));
        static_for<kWidth>([&](auto e) { out[e] += w[e]; });
      }
      if (wanted) write(y + at, out);
    });
  }

  // Not to be read again here: it leaves the caches before x and the spectrum do.
  static FNET_DEVICE void write(T* to, const float (&u)[kWidth], Site where = Site::current()) {
    store_global<Cache::kStreaming>(to, rounded<T>(u), where);
  }
};

template <class T, int Shape>
FNET_KERNEL_BOUNDS((RowBlock<Shape>::kThreads), (kRowShapes[Shape].template blocks<T>().fft))
void row_fft_kernel(RowFftArgs<T> args) {
  using K = RowLine<Shape>;
  static_assert(fit(kRowShapes[Shape].template blocks<T>().fft, K::kSharedBytes));
  using Out = RowOutput<T, Shape>;
  const int lane = thread_index() % K::kLanes, slot = thread_index() / K::kLanes;
  const int half = args.seq / 2, lines = row_lines(args.seq);
  const int64_t all = args.batch * lines;
  const int64_t given = int64_t(blockIdx.x) * K::kLines + slot;
  const int64_t index = given < all ? given : all - 1;
  const int64_t b = index / lines;
  const int k = int(index % lines);

  const Complex<float>* F = args.spectrum + b * args.seq * args.pitch;
  const auto row = [&](int n) { return F + int64_t(n) * args.pitch; };
  const int image = mirror(k, half);
  const Complex<float>* const in[4] = {row(k), row(half + k), row(image), row(half + image)};
  const typename K::Fft fft{shared_memory<Complex<float>>() + slot * K::kTile, lane, 0};
  first_stage<Shape>(fft, in, k == 0 ? 1.0f : -1.0f);
  Complex<float> z[K::kPoints];
  fft.template finish<1>(z);

  // r[k1], then r[k2]: floats now.
  const auto rows_at = shared_memory<float>(slot * K::kTile * int(sizeof(Complex<float>)));
  fft.sync();
  const int first = swizzled(lane);
  static_for<K::kPoints>([&](auto i) {
    const int l = swizzled_on<K::kLanes, K::Fft::frequency(0, i)>(first);
    rows_at.store(l, z[i].re);
    rows_at.store(K::kLength + l, z[i].im);
  });
  fft.sync();

  RowSum<Shape> sum{shared_memory<float>(K::kLines * K::kTile * int(sizeof(Complex<float>))) +
                        slot * K::kSums * K::kWarps,
                    lane};
  Out out{args, sum, lane};
  const bool live = given < all;
  out.finish_pair(rows_at, b, k, live);
  const bool apart = k + half != mirror(k, args.seq);  // row N/4 is its own pair
  out.finish_pair(rows_at + K::kLength, b, k + half, live && apart);
}

template <class T>
int launch_row_fft(const RowFftArgs<T>& args, const CudaQueue& queue) {
  int status = 0;
  visit_row_shape(args.hidden, queue.device.shared_bytes, [&](auto shape) {
    using K = RowBlock<shape>;
    status =
        launch<row_fft_kernel<T, shape>>({.name = "row_fft",
                                          .grid = dim3(unsigned(K::blocks(args.batch, args.seq))),
                                          .block = dim3(K::kThreads),
                                          .shared_bytes = size_t(K::kSharedBytes),
                                          .stream = queue.stream},
                                         args);
  });
  return status;
}

}  // namespace fnet
