// fnet_core_bench: the CPU kernels one by one, on one thread, for bench/passes.py.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/line_plan.h"
#include "cpu/spectrum.h"

namespace {

using namespace fnet;

// Aligned memory, written once so that its pages are there.
struct Buffer {
  explicit Buffer(int64_t bytes)
      : size((bytes + 63) / 64 * 64), data(new (std::align_val_t{64}) char[size]) {
    std::memset(data, 0, size_t(size));
  }
  ~Buffer() { operator delete[](data, std::align_val_t{64}); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* floats() { return reinterpret_cast<float*>(data); }
  int64_t size;
  char* data;
};

template <class F>
double seconds(const F& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// For each kernel and for a copy that moves as many bytes: the seconds of `rounds` runs over one
// sequence [seq, hidden] in float32, interleaved, another sequence of `batch` each time; and the
// bytes that the kernel reads and writes at least.
using Found = std::map<std::string, std::pair<int64_t, std::vector<double>>>;
Found passes(int64_t batch, int64_t seq, int64_t hidden, int64_t rounds) {
  const Kernels& kernels = active_kernels();
  const int width = kernels.width(DType::kFloat32);
  const int64_t elements = seq * hidden, bytes = elements * int64_t(sizeof(float));
  const SpectrumLayout layout{seq, hidden, width};
  const int64_t spectrum = layout.size() * int64_t(sizeof(float));
  Buffer x(batch * bytes), y(batch * bytes), kept(batch * bytes), G(spectrum);
  Buffer scratch(kernels.scratch_bytes(DType::kFloat32, seq, hidden)), ones(4 * hidden);
  Buffer dweight(4 * hidden), dbias(4 * hidden), rstd(4 * batch * seq);
  for (int64_t i = 0; i < batch * elements; ++i)
    x.floats()[i] = float(i * 2654435761u % 1999) - 999;
  for (int64_t i = 0; i < hidden; ++i) ones.floats()[i] = 1;

  MixArgs mix;
  mix.x = x.data, mix.y = y.data;
  mix.batch = batch, mix.seq = seq, mix.hidden = hidden;
  mix.x_row_stride = hidden, mix.x_batch_stride = elements;
  mix.epilogue = Epilogue::kNorm;
  const auto seq_plan = line_plan<float>(seq), hidden_plan = line_plan<float>(hidden);
  const MixTask task{&mix, seq_plan.get(), hidden_plan.get(), ones.data, dbias.data, true};
  NormGradArgs grad;
  grad.grad = x.data, grad.normalized = kept.data, grad.du_over_rstd = y.data;
  grad.rows = batch * seq, grad.hidden = hidden;
  const int64_t columns = (half_length(hidden) + 2 * width - 1) / (2 * width);
  const int64_t bands = (half_length(seq) + 2 * width - 1) / (2 * width);

  Found found;
  const auto take = [&](const std::string& name, int64_t moved, const auto& body) {
    found[name].first = moved;
    found[name].second.push_back(seconds(body));
  };
  for (int64_t round = 0; round < rounds; ++round) {
    // The row pass finds x and G where the column pass has left them, as it does in the op.
    const int64_t b = round % batch, g = (round + batch / 2) % batch;
    const int64_t moved[] = {bytes + spectrum, spectrum + 2 * bytes, 3 * bytes};
    take("seq_fft", moved[0],
         [&] { kernels.seq_blocks(task, b, G.data, 0, columns, scratch.data); });
    take("row_fft", moved[1], [&] { kernels.row_blocks(task, b, G.data, 0, bands, scratch.data); });
    take("norm_grad", moved[2], [&] {
      kernels.norm_grad_rows(grad, ones.data, g * seq, (g + 1) * seq, dweight.data, dbias.data);
    });
    const char* const names[] = {"seq_fft", "row_fft", "norm_grad"};
    for (int i = 0; i < 3; ++i) {
      const int64_t half = moved[i] / 2, last = batch * bytes - half;
      const int64_t from = (3 * round + i) * 2 * bytes % last, to = (from + last / 2) % last;
      take(std::string("copy as ") + names[i], 2 * half,
           [&] { std::memcpy(kept.data + to / 64 * 64, x.data + from / 64 * 64, size_t(half)); });
    }
  }
  return found;
}

}  // namespace

PYBIND11_MODULE(fnet_core_bench, m) {
  m.def("passes", &passes, pybind11::arg("batch"), pybind11::arg("seq"), pybind11::arg("hidden"),
        pybind11::arg("rounds"));
  m.def("set_isa", [](const std::string& name) { return fnet::set_cpu_isa(name.c_str()); });
  m.def("isas", [] { return std::string(fnet::cpu_isas()); });
}
