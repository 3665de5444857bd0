// The epilogue of row_fft: computes rows k and -k of y from r[k, :].
#pragma once

#include "core/layer_norm.h"
#include "cuda/kernels.h"
#include "cuda/row_line.h"
#include "cuda/sequence_table.h"
#include "fft/mirror.h"

namespace fnet {

// A row is split into vectors of 16 bytes; thread t of L has vectors t, t + L, ...
template <class T, int Shape>
struct RowEpilogue {
  using K = RowLine<Shape>;
  static constexpr int kWidth = 16 / int(sizeof(T)), kVectors = K::kPoints / kWidth;
  static_assert(K::kPoints % kWidth == 0);

  const RowFftArgs<T>& args;
  LineSum<Shape>& sum;
  int line_thread;

  // Computes rows k and -k of sequence b from r[k] at `r_at`.
  FNET_DEVICE void finish_pair(Shared<float> r_at, int64_t b, int k, bool wanted) {
    constexpr int W = kWidth;
    const int minus_k = mirror(k, args.seq);
    const SequenceRows rows = sequence_rows(args, b);
    const bool wants_k = wanted && k < rows.rows;
    const bool wants_minus_k = wanted && minus_k != k && minus_k < rows.rows;
    Pair early;
    if constexpr (kEarly)
      if (args.epilogue != Epilogue::kMix)
        static_for<kVectors>([&](auto v) {
          early.row[0][v] = x_of<false>(rows, k, wants_k, v);
          early.row[1][v] = x_of<true>(rows, minus_k, wants_minus_k, v);
        });
    float r[K::kPoints], m[K::kPoints];
    const int base = swizzled(line_thread * W);
    static_for<kVectors>([&](auto v) {
      static_for<W / 4>([&](auto i) {
        constexpr int C = K::kLineThreads * W * v + 4 * i;
        const auto four = r_at.template load<4>(swizzled_on<K::kLineThreads * W, C>(base));
        static_for<4>([&](auto e) { r[v * W + 4 * i + e] = four[e]; });
      });
    });
    // The vectors of row -k are those of r, reversed and shifted by one element: each needs the
    // first number of the next thread's vector.
    const int thread = thread_index() % kWarp;
    const bool last = thread == kWarp - 1 || line_thread == K::kLineThreads - 1;
    static_for<kVectors>([&](auto v) {
      const int l = (line_thread + K::kLineThreads * v + 1) * W;
      m[v * W] = shuffle(r[v * W], thread + 1);
      if (last) m[v * W] = r_at.load(swizzled(l < K::kLength ? l : 0));
      static_for<W - 1>([&](auto e) { m[v * W + e + 1] = r[v * W + W - 1 - e]; });
    });
    finish<false>(b, k, wants_k, r, early);
    finish<true>(b, minus_k, wants_minus_k, m, early);
  }

 private:
  using Numbers = float[kWidth];
  // The compiler moves read-only loads past barriers and stores. Many points leave it no registers
  // for loads that begin so early.
  static constexpr Cache kWeights =
      sizeof(T) == 4 && K::kPoints > 24 ? Cache::kDefault : Cache::kReadOnly;
  // Rows k and -k of x. Lines of 16-bit numbers have registers to load both at once.
  static constexpr bool kEarly = sizeof(T) == 2;
  struct Pair {
    Vec<T, kWidth> row[2][kEarly ? kVectors : 1];
  };

  // The first column of the thread's vector v.
  template <bool Mirrored>
  FNET_DEVICE int column(int v) const {
    const int i = line_thread + K::kLineThreads * v;
    return (Mirrored ? K::kLength / kWidth - 1 - i : i) * kWidth;
  }

  // Vector v of row n of x. Only the line that stores a row of y may read that row of x, because y
  // may be x; other lines get zeros.
  template <bool Mirrored>
  FNET_DEVICE Vec<T, kWidth> x_of(const SequenceRows& rows, int n, bool wanted, int v) const {
    const T* row = opaque(args.x + rows.x + n * args.row_stride);
    if (!wanted) return {};
    return load_global<kWidth>(row + column<Mirrored>(v));
  }

  // Computes row n of a sequence from r, where r[v * kWidth + e] is element e of vector v. Stores
  // only if `wanted`, but all threads take part in the sums.
  template <bool Mirrored>
  FNET_DEVICE void finish(int64_t b, int n, bool wanted, const float (&r)[K::kPoints],
                          const Pair& early) {
    const SequenceRows rows = sequence_rows(args, b);
    const int64_t row = opaque(rows.row + n);
    T* y = args.y + row * K::kLength;

    float u[K::kPoints];
    if (args.epilogue == Epilogue::kMix) {
      static_for<K::kPoints>([&](auto i) { u[i] = r[i] * args.scale; });
    } else {
      float factor = 1;
      if constexpr (kHasRowScale<T>) {
        if (args.row_scale) factor = load_global(args.row_scale + row);
      }
      static_for<kVectors>([&](auto v) {
        Vec<T, kWidth> x;
        if constexpr (kEarly)
          x = early.row[Mirrored][v];
        else
          x = x_of<Mirrored>(rows, n, wanted, v);
        const auto in = widened(x);
        static_for<kWidth>([&](auto e) {
          constexpr int i = v * kWidth + e;
          u[i] = (kHasRowScale<T> ? in[e] * factor : in[e]) + r[i] * args.scale;
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
    // A branch around the sum would take registers.
    const float of_row = sum(total) * kInverse;
    const float mean = args.norm == NormType::kLayer ? of_row : 0.0f;
    total = 0;
    static_for<K::kPoints>([&](auto i) { total += (u[i] - mean) * (u[i] - mean); });
    const float rstd = reciprocal_std(sum(total) * kInverse, 1.0f, args.eps);
    static_for<K::kPoints>([&](auto i) { u[i] = normalize(u[i], mean, rstd); });
    if (args.rstd && wanted && line_thread == 0) store_global(args.rstd + row, rstd);
    T* normalized = args.normalized ? args.normalized + row * K::kLength : nullptr;
    static_for<kVectors>([&](auto v) {
      sync_warp();  // bounds the loads in flight, hence registers
      const int at = column<Mirrored>(v);
      Numbers& out = numbers(v);
      if (normalized && wanted) write(normalized + at, out);
      if (args.weight) {
        const auto w = widened(load_global<kWidth, kWeights>(args.weight + at));
        static_for<kWidth>([&](auto e) { out[e] *= w[e]; });
      }
      if (args.bias) {
        const auto w = widened(load_global<kWidth, kWeights>(args.bias + at));
        static_for<kWidth>([&](auto e) { out[e] += w[e]; });
      }
      if (wanted) write(y + at, out);
    });
  }

  // Only the pre-norm backward pass reads y again, so L2 should evict it before x and the spectrum.
  static FNET_DEVICE void write(T* to, const float (&u)[kWidth], Site where = Site::current()) {
    store_global<Cache::kStreaming>(to, rounded<T>(u), where);
  }
};

}  // namespace fnet
