// A program for ThreadSanitizer: threads of a process call the CPU kernels at once, some on lengths
// that another thread is the first to use, while one thread drops the tables. Exits with 1 where a
// thread gets other bits than the first thread had got alone.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "cpu/api.h"
#include "testing/thread_parallel.h"

namespace {

using namespace fnet;

constexpr int kThreads = 8;

struct Shape {
  int64_t batch, seq, hidden;
};
constexpr Shape kShapes[] = {{3, 24, 20},  {1, 60, 42},  {2, 96, 16},   {4, 14, 50},
                             {3, 128, 22}, {1, 2, 1024}, {1, 65537, 1}, {20, 1, 46}};

std::vector<float> numbers(int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  unsigned state = 1;
  for (float& value : x) {
    state = state * 1664525u + 1013904223u;
    value = float(state >> 8) / float(1 << 23) - 1;
  }
  return x;
}

// y, the normalised rows, du, dweight and dbias of one shape, one after the other; nothing if the
// mix fails. A number that is not written is NaN, which differs from itself.
std::vector<float> run(const Shape& shape, int slots) {
  const int64_t rows = shape.batch * shape.seq, elements = rows * shape.hidden;
  const std::vector<float> x = numbers(elements), weight = numbers(shape.hidden);
  std::vector<float> out(static_cast<size_t>(3 * elements + 2 * shape.hidden), NAN);
  std::vector<float> rstd(static_cast<size_t>(rows));

  MixArgs args;
  args.x = x.data();
  args.batch = shape.batch, args.seq = shape.seq, args.hidden = shape.hidden;
  args.x_batch_stride = shape.seq * shape.hidden, args.x_row_stride = shape.hidden;
  args.epilogue = Epilogue::kNorm;
  args.eps = 1e-12;
  args.weight = weight.data();
  args.y = out.data(), args.normalized = out.data() + elements, args.rstd = rstd.data();
  const Parallel parallel = threads(slots);
  const CpuPlan plan = plan_cpu(args, slots);
  std::vector<char> workspace(plan.workspace_bytes);
  if (mix_part_cpu(args, plan, 0, args.batch, workspace.data(), parallel) != Status::kOk) return {};

  NormGradArgs grad;
  grad.grad = x.data(), grad.normalized = args.normalized, grad.weight = args.weight;
  grad.rstd = rstd.data(), grad.rows = rows, grad.hidden = shape.hidden;
  grad.du = out.data() + 2 * elements;
  grad.dweight = out.data() + 3 * elements, grad.dbias = out.data() + 3 * elements + shape.hidden;
  const CpuNormGradPlan norm = plan_norm_grad_cpu(grad);
  workspace.resize(norm.workspace_bytes);
  norm_grad_cpu(grad, norm, workspace.data(), parallel);
  return out;
}

}  // namespace

int main() {
  std::vector<std::vector<float>> expected;
  for (const Shape& shape : kShapes) {
    expected.push_back(run(shape, 1));
    if (expected.back().empty()) {
      std::printf("no mix of shape %zu\n", expected.size() - 1);
      return 1;
    }
  }
  clear_line_plans(), clear_real_line_plans();

  std::atomic<int> wrong = 0;
  std::atomic<bool> done = false;
  std::thread clearing([&] {
    while (!done) {
      clear_line_plans(), clear_real_line_plans();
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> pool;
  for (int t = 0; t < kThreads; ++t)
    pool.emplace_back([&, t] {
      for (size_t i = 0; i < 20; ++i) {
        const size_t at = (i + size_t(t)) % expected.size();
        wrong += run(kShapes[at], 1 + t % 3 * 3) != expected[at];
      }
    });
  for (std::thread& thread : pool) thread.join();
  done = true;
  clearing.join();
  if (wrong) {
    std::printf("%d calls gave other bits\n", wrong.load());
    return 1;
  }
  std::printf("%d threads, %zu shapes: the same bits, no data race\n", kThreads, expected.size());
  return 0;
}
