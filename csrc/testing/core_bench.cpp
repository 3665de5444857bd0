// fnet_core_bench: times the CPU kernels one by one, on one thread, for bench/passes.py. Also a
// copy with streaming stores, and the core-to-core latency.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "cpu/kernels.h"
#include "cpu/line_plan.h"
#include "cpu/spectrum.h"

namespace {

using namespace fnet;

constexpr int64_t kHugePage = 2 << 20;

// Aligned memory in huge pages if the system grants them, as the outputs and the workspace of the
// ops. It is written once so that its pages are mapped.
struct Buffer {
  explicit Buffer(int64_t bytes)
      : size((bytes + 63) / 64 * 64),
        align{size_t(size < kHugePage ? 64 : kHugePage)},
        data(new (align) char[size]) {
#if defined(__linux__)
    if (size >= kHugePage) madvise(data, size_t(size), MADV_HUGEPAGE);
#endif
    std::memset(data, 0, size_t(size));
  }
  ~Buffer() { operator delete[](data, align); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* floats() { return reinterpret_cast<float*>(data); }
  int64_t size;
  std::align_val_t align;
  char* data;
};

template <class F>
double seconds(const F& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Core-to-core latency: nanoseconds for a value to reach another core and return. About 50 if the
// cores share a cache, several hundred otherwise. Takes the minimum of a few tries because the
// scheduler may disturb one. On a single core this would take minutes.
double core_to_core_ns() {
  constexpr int kTrips = 20000, kTries = 5;
  double best = 1e9;
  for (int i = 0; i < kTries; ++i) {
    std::atomic<int> turn{0};
    const auto wait_for = [&](int value) {
      while (turn.load(std::memory_order_acquire) != value) {
      }
    };
    std::thread other([&] {
      for (int trip = 0; trip < kTrips; ++trip) wait_for(2 * trip + 1), turn = 2 * trip + 2;
    });
    turn = 1, wait_for(2);  // it is running
    const double taken = seconds([&] {
      for (int trip = 1; trip < kTrips; ++trip) turn = 2 * trip + 1, wait_for(2 * trip + 2);
    });
    other.join();
    best = std::min(best, 1e9 * taken / (kTrips - 1));
  }
  return best;
}

// Copies with the non-temporal stores that the kernels use for y, which do not read `to`. Both
// pointers are aligned to 16 bytes; the last bytes % 64 use plain stores.
void stream_copy(char* to, const char* from, int64_t bytes) {
  int64_t i = 0;
#if defined(__x86_64__)
  for (; i + 64 <= bytes; i += 64)
    for (int64_t j = i; j < i + 64; j += 16)
      _mm_stream_si128((__m128i*)(to + j), _mm_load_si128((const __m128i*)(from + j)));
  _mm_sfence();
#endif
  std::memcpy(to + i, from + i, size_t(bytes - i));
}

constexpr bool streams() {
#if defined(__x86_64__)
  return true;
#else
  return false;
#endif
}

// One timed kernel: its name, the bytes it moves at least, and its call for a round.
struct Timed {
  std::string name;
  int64_t moved;
  std::function<void(int64_t round)> body;
};

// Times `rounds` runs of each kernel over one sequence [seq, hidden], and of a copy and a streaming
// copy of as many bytes. Returns, by name, the bytes that the kernel must at least move and the
// seconds of each run. Cold: each round takes another sequence of `batch`. Warm: each round takes
// the same one, after an untimed run.
using Found = std::map<std::string, std::pair<int64_t, std::vector<double>>>;
Found passes(int64_t batch, int64_t seq, int64_t hidden, int64_t rounds, bool narrow, bool warm) {
  const Kernels& kernels = active_kernels();
  const DType dtype = narrow ? DType::kBFloat16 : DType::kFloat32;
  const int width = kernels.width(dtype);
  const int64_t elements = seq * hidden, bytes = elements * element_size(dtype);
  const SpectrumLayout layout{seq, hidden, width};
  const int64_t spectrum = layout.size() * int64_t(sizeof(float));
  Buffer x(batch * bytes), y(batch * bytes), kept(batch * bytes), G(spectrum);
  const PassTiles seq_tiles = kernels.seq_pass(dtype, seq, hidden, Tiles::kWhole);
  const PassTiles row_tiles = kernels.row_pass(dtype, seq, hidden, Tiles::kWhole);
  Buffer scratch(std::max(seq_tiles.scratch_bytes, row_tiles.scratch_bytes)), ones(4 * hidden);
  Buffer dweight(4 * hidden), dbias(4 * hidden);
  for (int64_t i = 0; i < batch * elements; ++i) {
    const float value = float(i * 2654435761u % 1999) - 999;
    if (narrow)
      std::memcpy(x.data + 2 * i, (const char*)&value + 2, 2);
    else
      x.floats()[i] = value;
  }
  for (int64_t i = 0; i < hidden; ++i) ones.floats()[i] = 1;

  MixArgs mix;
  mix.x = x.data, mix.y = y.data;
  mix.batch = batch, mix.seq = seq, mix.hidden = hidden;
  mix.x_row_stride = hidden, mix.x_batch_stride = elements;
  mix.epilogue = Epilogue::kNorm;
  mix.dtype = dtype;
  const auto seq_plan = line_plan<float>(seq), hidden_plan = line_plan<float>(hidden);
  const MixTask task{&mix,      seq_plan.get(), hidden_plan.get(),
                     ones.data, dbias.data,     streams_output(mix)};
  NormGradArgs grad;
  grad.grad = x.data, grad.normalized = kept.data, grad.du = y.data;
  grad.rows = batch * seq, grad.hidden = hidden;
  grad.dtype = dtype;

  // The row pass finds x and G in the caches where the seq pass left them, as in the op.
  const Timed seq_fft{"seq_fft", bytes + spectrum, [&](int64_t b) {
                        kernels.seq_tiles(task, b, G.data, Tiles::kWhole, 0, seq_tiles.count,
                                          scratch.data);
                      }};
  const Timed row_fft{"row_fft", spectrum + 2 * bytes, [&](int64_t b) {
                        kernels.row_tiles(task, b, G.data, Tiles::kWhole, 0, row_tiles.count,
                                          scratch.data);
                      }};
  const Timed norm_grad{"norm_grad", 3 * bytes, [&](int64_t b) {
                          kernels.norm_grad_rows(grad, ones.data, b * seq, (b + 1) * seq,
                                                 dweight.data, dbias.data);
                        }};
  std::vector<std::vector<Timed>> units{{seq_fft, row_fft}, {norm_grad}};
  for (const Timed& kernel : {seq_fft, row_fft, norm_grad}) {
    const int64_t half = kernel.moved / 2, slots = batch * bytes / (half + 64);
    const auto at = [=](int64_t slot) { return slot % slots * ((half + 63) / 64 * 64); };
    units.push_back({{"copy as " + kernel.name, 2 * half, [=, &x, &kept](int64_t b) {
                        std::memcpy(kept.data + at(b), x.data + at(b + slots / 2), size_t(half));
                      }}});
    if (streams())
      units.push_back({{"stream as " + kernel.name, 2 * half, [=, &x, &kept](int64_t b) {
                          stream_copy(kept.data + at(b), x.data + at(b + slots / 2), half);
                        }}});
  }

  Found found;
  std::mt19937 chance(0);
  for (int64_t round = 0; round < rounds; ++round) {
    std::shuffle(units.begin(), units.end(), chance);
    for (size_t u = 0; u < units.size(); ++u) {
      // Cold: each unit of a round takes another sequence.
      const int64_t b = warm ? 0 : (round * int64_t(units.size()) + int64_t(u)) * 3 % batch;
      if (warm)
        for (const Timed& part : units[u]) part.body(b);
      for (const Timed& part : units[u]) {
        found[part.name].first = part.moved;
        found[part.name].second.push_back(seconds([&] { part.body(b); }));
      }
    }
  }
  return found;
}

// The processor time of this thread where the system reports it, which leaves out the time that
// other processes take.
double thread_seconds() {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  timespec now;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0)
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
#endif
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs the slots of each round one after the other and records the seconds of each.
using Rounds = std::vector<std::vector<double>>;
thread_local Rounds recorded_rounds;

Parallel simulated(int slots) {
  return Parallel(slots, [](int count, Parallel::Body body, void* context) {
    std::vector<double> round;
    for (int slot = 0; slot < count; ++slot) {
      const double start = thread_seconds();
      body(context, slot);
      round.push_back(thread_seconds() - start);
    }
    recorded_rounds.push_back(std::move(round));
  });
}

// One call in float32 with LayerNorm on `slots` simulated cores, `repeats` times: the seconds of
// each slot in each round, and the extra memory in bytes. Backward: both gradients.
struct Call {
  Call(int64_t batch, int64_t seq, int64_t hidden, int slots, bool backward)
      : x(4 * batch * seq * hidden),
        y(x.size),
        kept(x.size),
        ones(4 * hidden),
        zeros(4 * hidden),
        rstd(4 * batch * seq),
        dweight(4 * hidden),
        dbias(4 * hidden),
        backward(backward),
        parallel(simulated(slots)) {
    for (int64_t i = 0; i < batch * seq * hidden; ++i)
      x.floats()[i] = kept.floats()[i] = float(i * 2654435761u % 1999) / 999 - 1;
    for (int64_t i = 0; i < hidden; ++i) ones.floats()[i] = 1;
    for (int64_t i = 0; i < batch * seq; ++i) rstd.floats()[i] = 1;
    mix.batch = batch, mix.seq = seq, mix.hidden = hidden;
    mix.x_row_stride = hidden, mix.x_batch_stride = seq * hidden;
    mix.y = y.data;
    norm.grad = x.data, norm.normalized = kept.data, norm.weight = ones.data;
    norm.rows = batch * seq, norm.hidden = hidden;
    norm.du = y.data, norm.dweight = dweight.data, norm.dbias = dbias.data;
    if (backward) {
      mix.epilogue = Epilogue::kResidual;
      mix.x = y.data, mix.row_scale = rstd.data;
    } else {
      mix.epilogue = Epilogue::kNorm;
      mix.x = x.data, mix.weight = ones.data, mix.bias = zeros.data;
    }
    plan = plan_cpu(mix, slots);
    norm_plan = plan_norm_grad_cpu(norm);
    workspace = std::make_unique<Buffer>(int64_t(plan.workspace_bytes));
    norm_workspace = std::make_unique<Buffer>(int64_t(norm_plan.workspace_bytes));
  }

  Rounds run() {
    recorded_rounds.clear();
    const auto part = [&](int64_t begin, int64_t end) {
      if (mix_part_cpu(mix, plan, begin, end, workspace->data, parallel) != Status::kOk)
        throw std::invalid_argument("cores: expected lengths with kernels");
    };
    backward ? backward_cpu(norm, norm_plan, norm_workspace->data, mix, plan, parallel, part)
             : part(0, mix.batch);
    return recorded_rounds;
  }

  int64_t bytes() const {
    const size_t sums = backward ? norm_plan.workspace_bytes : 0;
    const bool together = backward_slice(mix, plan) < mix.batch;
    return int64_t(together ? plan.workspace_bytes + sums : std::max(plan.workspace_bytes, sums));
  }

  Buffer x, y, kept, ones, zeros, rstd, dweight, dbias;
  bool backward;
  Parallel parallel;
  MixArgs mix;
  NormGradArgs norm;
  CpuPlan plan;
  CpuNormGradPlan norm_plan;
  std::unique_ptr<Buffer> workspace, norm_workspace;
};

std::pair<std::vector<Rounds>, int64_t> cores(int64_t batch, int64_t seq, int64_t hidden, int slots,
                                              int repeats, bool backward) {
  Call call(batch, seq, hidden, slots, backward);
  call.run();
  std::vector<Rounds> found;
  for (int i = 0; i < repeats; ++i) found.push_back(call.run());
  return {found, call.bytes()};
}

}  // namespace

PYBIND11_MODULE(fnet_core_bench, m) {
  m.def("passes", &passes, pybind11::arg("batch"), pybind11::arg("seq"), pybind11::arg("hidden"),
        pybind11::arg("rounds"), pybind11::arg("narrow") = false, pybind11::arg("warm") = false);
  m.def(
      "stream_copy",
      [](intptr_t to, intptr_t from, int64_t bytes) {
        stream_copy((char*)to, (const char*)from, bytes);
      },
      pybind11::call_guard<pybind11::gil_scoped_release>(), pybind11::arg("to"),
      pybind11::arg("from"), pybind11::arg("bytes"));
  m.def("streams", &streams);
  m.def("cores", &cores, pybind11::arg("batch"), pybind11::arg("seq"), pybind11::arg("hidden"),
        pybind11::arg("slots"), pybind11::arg("repeats"), pybind11::arg("backward") = false);
  m.def("core_to_core_ns", &core_to_core_ns, pybind11::call_guard<pybind11::gil_scoped_release>());
  m.def("set_isa", [](const std::string& name) { return fnet::set_cpu_isa(name.c_str()); });
  m.def("isas", [] { return std::string(fnet::cpu_isas()); });
}
