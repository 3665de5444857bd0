// LayerNorm's gradient: the kernel for rows of any length, and the choice of the kernel.
#include "cuda/norm_grad_rows.h"

namespace fnet {
namespace {

constexpr int kThreads = 128, kMaxChunkRows = 128;
// Each warp of add_chunks adds every kGroups-th chunk and keeps kLoadsInFlight loads in flight.
constexpr int kSumThreads = 1024, kGroups = kSumThreads / kWarp, kLoadsInFlight = 8;

// A block takes a chunk of rows. First each warp computes the two means of its rows. Then each
// thread reads its columns again, from the caches, for du and the sums over the chunk.
template <class T, int W>
FNET_KERNEL_BOUNDS(kThreads, 1)
void norm_grad_kernel(NormGradTask<T> task) {
  using R = Compute<T>;
  const int64_t begin = int64_t(blockIdx.x) * task.chunk_rows;
  const int rows = int(min_of(task.chunk_rows, task.rows - begin));
  const int64_t d = task.hidden;
  const T* grad = task.grad + begin * d;
  const T* normalized = task.normalized + begin * d;
  const auto stats = shared_memory<R>();  // per row: two means of the gradient, rstd, mean
  const int warp_lane = thread_index() % kWarp;

  const auto normalized_of = [&](T x, R mean, R rstd) {
    return task.mean ? normalize(R(load_scalar(x)), mean, rstd) : R(load_scalar(x));
  };

  for (int n = thread_index() / kWarp; n < rows; n += kThreads / kWarp) {
    R sum_g = 0, sum_gx = 0;
    const R rstd = task.rstd ? load_global(task.rstd + begin + n) : R(1);
    const R mean = task.mean ? load_global(task.mean + begin + n) : R(0);
    for (int64_t l = warp_lane * W; l < d; l += kWarp * W) {
      const auto dy = load_global<W>(grad + n * d + l);
      const auto xhat = load_global<W>(normalized + n * d + l);
      Vec<T, W> weight;
      if (task.weight) weight = load_global<W, Cache::kReadOnly>(task.weight + l);
      static_for<W>([&](auto e) {
        const R g = load_scalar(dy[e]) * (task.weight ? load_scalar(weight[e]) : R(1));
        sum_g += g;
        sum_gx += g * normalized_of(xhat[e], mean, rstd);
      });
    }
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
      sum_g += shuffle_xor(sum_g, mask);
      sum_gx += shuffle_xor(sum_gx, mask);
    }
    if (warp_lane == 0) {
      stats.store(4 * n, task.mean_of(sum_g));
      stats.store(4 * n + 1, sum_gx / R(d));
      stats.store(4 * n + 2, rstd);
      stats.store(4 * n + 3, mean);
    }
  }
  sync_threads();

  for (int64_t l = int64_t(threadIdx.x) * W; l < d; l += kThreads * W) {
    R weight[W];
    Vec<R, W> dweight = {}, dbias = {};
    static_for<W>([&](auto e) { weight[e] = 1; });
    if (task.weight) {
      const auto w = load_global<W, Cache::kReadOnly>(task.weight + l);
      static_for<W>([&](auto e) { weight[e] = load_scalar(w[e]); });
    }
    for (int n = 0; n < rows; ++n) {
      const auto dy = load_global<W>(grad + n * d + l);
      const auto xhat = load_global<W>(normalized + n * d + l);
      const R mean_g = stats.load(4 * n), mean_gx = stats.load(4 * n + 1);
      const R rstd = stats.load(4 * n + 2), mean = stats.load(4 * n + 3);
      const T* residual = task.residual ? task.residual + (begin + n) * d + l : nullptr;
      Vec<T, W> du, added = {};
      if (residual) added = load_global<W>(residual);
      static_for<W>([&](auto e) {
        const R g = load_scalar(dy[e]), x = normalized_of(xhat[e], mean, rstd);
        const R u = norm_gradient(g * weight[e], x, mean_g, mean_gx) * rstd;
        store_scalar(du[e], residual ? u + load_scalar(added[e]) : u);
        dweight[e] += g * x;
        dbias[e] += g;
      });
      store_global(task.du + (begin + n) * d + l, du);
    }
    if (!task.partials) continue;
    R* to = task.partials + int64_t(blockIdx.x) * 2 * d + l;
    store_global(to, dweight);
    store_global(to + d, dbias);
  }
}

// Adds the chunks in order: dweight for blockIdx.y = 0, dbias for 1.
template <class T>
FNET_KERNEL_BOUNDS(kSumThreads, 1)
void add_chunks_kernel(const Compute<T>* partials, int64_t chunks, int64_t hidden, T* dweight,
                       T* dbias) {
  using R = Compute<T>;
  const int warp_lane = thread_index() % kWarp, group = thread_index() / kWarp;
  const int64_t l = int64_t(blockIdx.x) * kWarp + warp_lane;
  T* to = blockIdx.y == 0 ? dweight : dbias;
  if (!to) return;
  R sum = 0;
  if (l < hidden)
    for (int64_t c = group; c < chunks; c += kGroups * kLoadsInFlight) {
      R more[kLoadsInFlight];
      static_for<kLoadsInFlight>([&](auto i) {
        const int64_t chunk = c + i * kGroups;
        more[i] = 0;
        if (chunk < chunks)
          more[i] = load_global<Cache::kReadOnly>(partials + (2 * chunk + blockIdx.y) * hidden + l);
      });
      static_for<kLoadsInFlight>([&](auto i) { sum += more[i]; });
    }
  const auto sums = shared_memory<R>();
  sums.store(group * kWarp + warp_lane, sum);
  sync_threads();
  if (group > 0 || l >= hidden) return;
  for (int g = 1; g < kGroups; ++g) sum += sums.load(g * kWarp + warp_lane);
  T result;
  store_scalar(result, sum);
  store_global(to + l, result);
}

}  // namespace

template <class T>
int launch_add_chunks(const Compute<T>* partials, int64_t chunks, int64_t hidden, T* dweight,
                      T* dbias, void* stream) {
  return launch<add_chunks_kernel<T>>({.name = "add_chunks",
                                       .grid = dim3(unsigned((hidden + kWarp - 1) / kWarp), 2),
                                       .block = dim3(kSumThreads),
                                       .shared_bytes = kSumThreads * sizeof(Compute<T>),
                                       .stream = stream},
                                      partials, chunks, hidden, dweight, dbias);
}

template <class T>
int launch_norm_grad(const NormGradArgs& args, void* partials, Order order, void* stream) {
  const NormGradTask<T> task(args, partials);
  if (const auto rows = RowsLaunch<T>::of(args)) return rows->run(task, order, stream);
  constexpr int kWide = sizeof(T) == 8 ? 2 : 4;
  const bool wide = args.hidden % kWide == 0 && is_aligned(args, kWide * sizeof(T));
  const LaunchConfig config = {.name = "norm_grad",
                               .grid = dim3(unsigned(norm_grad_chunks(args.rows))),
                               .block = dim3(kThreads),
                               .shared_bytes = 4 * kMaxChunkRows * sizeof(Compute<T>),
                               .stream = stream};
  return wide ? launch<norm_grad_kernel<T, kWide>>(config, task)
              : launch<norm_grad_kernel<T, 1>>(config, task);
}

#define FNET_INSTANTIATE(T)                                                   \
  template int launch_norm_grad<T>(const NormGradArgs&, void*, Order, void*); \
  template int launch_add_chunks<T>(const Compute<T>*, int64_t, int64_t, T*, T*, void*);
FNET_INSTANTIATE(float)
FNET_INSTANTIATE(double)
FNET_INSTANTIATE(BFloat16)
FNET_INSTANTIATE(Float16)

}  // namespace fnet
