// fnet_core_test: the torch-free core on NumPy arrays, only for this project's tests.
#include <pybind11/complex.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <complex>
#include <memory>
#include <new>
#include <vector>

#include "cpu/api.h"
#include "cpu/caches.h"
#include "cpu/kernels.h"
#include "cpu/line_plan.h"
#include "cpu/plan_cache.h"
#include "cpu/radices.h"
#include "cpu/spectrum.h"
#include "cpu/twiddle.h"
#include "fft/dft.h"
#include "fft/mirror.h"
#include "testing/core_lanes.h"
#include "testing/thread_parallel.h"

namespace py = pybind11;
using namespace fnet;

namespace {

template <class T>
py::array_t<std::complex<T>> dft(int radix, py::array_t<std::complex<T>> z) {
  py::array_t<std::complex<T>> out(z.size());
  const bool known = Radices::visit(radix, [&](auto r) {
    constexpr int R = decltype(r)::value;
    Complex<T> line[R];
    for (int i = 0; i < R; ++i) line[i] = {z.at(i).real(), z.at(i).imag()};
    Dft<R>::run(line);
    for (int i = 0; i < R; ++i) out.mutable_at(i) = {line[i].re, line[i].im};
  });
  if (!known) throw py::value_error("unsupported radix");
  return out;
}

template <class T>
std::complex<double> root(int64_t p, int64_t q) {
  const Complex<T> w = unit_root<T>(p, q);
  return {w.re, w.im};
}

std::vector<int> factors(int64_t n) {
  const Factors f = factorise(n);
  return {f.radix, f.radix + f.count};
}

template <class T>
py::array_t<float> widen(py::array_t<uint16_t> bits) {
  py::array_t<float> out(bits.size());
  for (py::ssize_t i = 0; i < bits.size(); ++i) out.mutable_at(i) = load_scalar(T{bits.at(i)});
  return out;
}

template <class T>
py::array_t<uint16_t> narrow(py::array_t<float> values) {
  py::array_t<uint16_t> out(values.size());
  for (py::ssize_t i = 0; i < values.size(); ++i) {
    T to;
    store_scalar(to, values.at(i));
    out.mutable_at(i) = to.bits;
  }
  return out;
}

// Memory of exactly `size` bytes between two guards, `skew` bytes after a multiple of 64. A
// sanitizer detects an overrun by itself; without one intact() does.
class Guarded {
 public:
  explicit Guarded(size_t size, size_t skew = 0)
      : size_(size),
        skew_(skew),
        bytes_(static_cast<unsigned char*>(operator new(kGuard + skew + size + kGuard,
                                                        std::align_val_t{64}))) {
    std::fill_n(bytes_.get(), kGuard + skew + size + kGuard, kMark);
  }
  void* data() { return bytes_.get() + kGuard + skew_; }
  bool intact() const {
    const unsigned char* begin = bytes_.get();
    const auto marked = [](unsigned char byte) { return byte == kMark; };
    return std::all_of(begin, begin + kGuard + skew_, marked) &&
           std::all_of(begin + kGuard + skew_ + size_, begin + 2 * kGuard + skew_ + size_, marked);
  }

 private:
  struct Delete {
    void operator()(unsigned char* p) const { operator delete(p, std::align_val_t{64}); }
  };
  static constexpr size_t kGuard = 256;
  static constexpr unsigned char kMark = 0xff;  // NaN in all our dtypes
  size_t size_, skew_;
  std::unique_ptr<unsigned char, Delete> bytes_;
};

DType dtype_of(const std::string& name) {
  if (name == "float64") return DType::kFloat64;
  if (name == "bfloat16") return DType::kBFloat16;
  if (name == "float16") return DType::kFloat16;
  return DType::kFloat32;
}

const void* data_or_null(const std::optional<py::array>& a) { return a ? a->data() : nullptr; }

void check(bool intact) {
  if (!intact) throw std::runtime_error("a kernel wrote to a guard");
}

MixArgs mix_args(const py::array& x, const std::string& dtype, double scale) {
  MixArgs args;
  args.dtype = dtype_of(dtype);
  args.x = x.data();
  args.batch = x.shape(0), args.seq = x.shape(1), args.hidden = x.shape(2);
  args.x_batch_stride = x.strides(0) / x.itemsize();
  args.x_row_stride = x.strides(1) / x.itemsize();
  args.scale = scale;
  return args;
}

// x is [batch, seq, hidden] with any batch and row strides; arrays have the storage type of
// `dtype`. epilogue: 0 mix, 1 residual, 2 norm. With a spectrum (of row_scale x) the second half of
// the general path runs. transform: 0 Fourier, 1 Hartley.
// scheme: a number of Scheme, else the plan chooses. residual: as x. Returns (y, normalized, rstd).
py::tuple mix(py::array x, const std::string& dtype, int epilogue, double scale, double eps,
              std::optional<py::array> weight, std::optional<py::array> bias,
              std::optional<py::array> row_scale, std::optional<py::array> spectrum, int slots,
              int transform, std::optional<int> scheme, std::optional<py::array> residual,
              bool norm_first, bool rms) {
  MixArgs args = mix_args(x, dtype, scale);
  args.transform = Transform(transform);
  args.epilogue = Epilogue(epilogue);
  args.eps = eps;
  args.weight = data_or_null(weight), args.bias = data_or_null(bias);
  args.row_scale = data_or_null(row_scale);
  args.norm_first = norm_first;
  args.norm = rms ? NormType::kRms : NormType::kLayer;
  if (residual) {
    args.residual = residual->data();
    args.residual_batch_stride = residual->strides(0) / residual->itemsize();
    args.residual_row_stride = residual->strides(1) / residual->itemsize();
  }

  const size_t bytes = size_t(args.batch * args.seq * args.hidden * element_size(args.dtype));
  PlanChoice choice;
  choice.general = spectrum.has_value();
  if (scheme) choice.scheme = Scheme(*scheme);
  const CpuPlan plan = plan_cpu(args, slots, active_kernels(), choice);
  py::array rstd(py::dtype(args.dtype == DType::kFloat64 ? "f8" : "f4"), {args.batch, args.seq});
  Guarded y(bytes), normalized(bytes), workspace(plan.workspace_bytes, 13);
  Guarded mean(size_t(args.batch * args.seq * compute_size(args.dtype)));
  args.y = y.data();
  if (norm_first) {
    args.mean = mean.data();
    args.rstd = rstd.mutable_data();
  }
  if (args.epilogue == Epilogue::kNorm) {
    args.normalized = normalized.data();
    args.rstd = rstd.mutable_data();
  }
  if (spectrum)
    mix_from_spectrum_cpu(args, plan, spectrum->data(), workspace.data(), threads(slots));
  else if (mix_part_cpu(args, plan, 0, args.batch, workspace.data(), threads(slots)) != Status::kOk)
    throw py::value_error("unsupported length");
  check(y.intact() && normalized.intact() && mean.intact() && workspace.intact());
  const std::vector<py::ssize_t> shape{args.batch, args.seq, args.hidden};
  return py::make_tuple(py::array(x.dtype(), shape, y.data()),
                        py::array(x.dtype(), shape, normalized.data()), rstd);
}

// Where a spectrum holds the parts of G[k, m]; im is -1 if it is always zero and has no place.
struct Places {
  int64_t re, im;
};

Places places(const SpectrumLayout& layout, int64_t k, int64_t m) {
  const int64_t W = layout.width;
  if (layout.packs_last_row() && k % (layout.seq / 2) == 0)
    return {layout.at(0, m) + (k > 0 ? W : 0), -1};
  const int64_t re = layout.at(k / W, m) + k % W;
  return {re, re + W};
}

// Runs the seq pass alone. Returns G[k, m] of the last sequence of a batch, complex [seq / 2 + 1,
// hidden / 2 + 1].
template <class R>
py::array_t<std::complex<R>> seq_pass(py::array x, const std::string& dtype, double scale,
                                      int slots) {
  MixArgs args = mix_args(x, dtype, scale);
  Guarded y(size_t(x.nbytes()));
  args.y = y.data();
  const CpuPlan plan = plan_cpu(args, slots, active_kernels(), {.scheme = Scheme::kTiles});
  Guarded spectrum(size_t(plan.spectrum_bytes)), workspace(plan.workspace_bytes, 13);
  if (seq_pass_cpu(args, plan, args.batch - 1, spectrum.data(), workspace.data(), threads(slots)) !=
      Status::kOk)
    throw py::value_error("unsupported length");
  check(spectrum.intact() && y.intact() && workspace.intact());
  const SpectrumLayout layout{args.seq, args.hidden, plan.kernels->width(args.dtype)};
  py::array_t<std::complex<R>> out({layout.rows(), layout.columns()});
  for (int64_t k = 0; k < layout.rows(); ++k)
    for (int64_t m = 0; m < layout.columns(); ++m) {
      const Places place = places(layout, k, m);
      const R* numbers = static_cast<const R*>(spectrum.data());
      out.mutable_at(k, m) = {numbers[place.re], place.im < 0 ? 0 : numbers[place.im]};
    }
  return out;
}

// Runs the row pass alone: y = scale M(x) of one sequence [seq, hidden] in float32 or float64, from
// G.
template <class R>
py::array_t<R> row_pass(py::array_t<std::complex<R>> G, int64_t hidden, int64_t seq, int slots) {
  py::array_t<R> y({int64_t(1), seq, hidden});
  MixArgs args = mix_args(y, sizeof(R) == 8 ? "float64" : "float32", 1);
  args.y = y.mutable_data();
  args.x = nullptr;  // this epilogue does not read x
  const CpuPlan plan = plan_cpu(args, slots, active_kernels(), {.scheme = Scheme::kTiles});
  Guarded spectrum(size_t(plan.spectrum_bytes)), workspace(plan.workspace_bytes, 13);
  std::fill_n(static_cast<R*>(spectrum.data()), plan.spectrum_bytes / int64_t(sizeof(R)), R(0));
  const SpectrumLayout layout{seq, hidden, plan.kernels->width(args.dtype)};
  for (int64_t k = 0; k < layout.rows(); ++k)
    for (int64_t m = 0; m < layout.columns(); ++m) {
      const Places place = places(layout, k, m);
      R* numbers = static_cast<R*>(spectrum.data());
      numbers[place.re] = G.at(k, m).real();
      if (place.im >= 0) numbers[place.im] = G.at(k, m).imag();
    }
  if (row_pass_cpu(args, plan, 0, spectrum.data(), workspace.data(), threads(slots)) != Status::kOk)
    throw py::value_error("unsupported length");
  check(spectrum.intact() && workspace.intact());
  return y;
}

// What the lanes hold in a call.
std::string scheme(int64_t batch, int64_t seq, int64_t hidden, const std::string& dtype) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of(dtype);
  return name_of(plan_cpu(args, 1).scheme);
}

// Returns the plan of a call: (path, reason, workspace bytes, sequences in progress).
py::tuple plan(int64_t batch, int64_t seq, int64_t hidden, const std::string& dtype, int slots) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of(dtype);
  const CpuPlan found = plan_cpu(args, slots);
  return py::make_tuple(name_of(found.path), name_of(found.reason), found.workspace_bytes,
                        found.sequences);
}

// For each length and the bytes of its plan, in this order: whether a PlanCache had to make it.
std::vector<int> made_plans(py::array_t<uint64_t> lengths, py::array_t<uint64_t> bytes) {
  struct Plan {
    int64_t bytes;
  };
  PlanCache<Plan> cache;
  std::vector<int> made(size_t(lengths.size()));
  for (size_t i = 0; i < made.size(); ++i)
    cache.get(int64_t(lengths.at(i)), [&] {
      made[i] = 1;
      return std::make_shared<const Plan>(Plan{int64_t(bytes.at(i))});
    });
  return made;
}

// The vector functions of the instruction set in use.
const LaneTests& lane_tests() {
#if defined(__x86_64__)
  for (const LaneTests* tests : {&avx512_lane_tests, &avx2_lane_tests})
    if (std::string(tests->isa) == cpu_isa()) return *tests;
#endif
#if defined(__aarch64__)
  return std::string(neon_lane_tests.isa) == cpu_isa() ? neon_lane_tests : neon_bf16_lane_tests;
#else
  return portable_lane_tests;
#endif
}

py::array_t<float> widen_lanes(const std::string& dtype, py::array_t<uint16_t> bits,
                               bool one_by_one) {
  Guarded to(size_t(bits.size()) * sizeof(float));
  lane_tests().widen(dtype_of(dtype), bits.data(), bits.size(), one_by_one,
                     static_cast<float*>(to.data()));
  check(to.intact());
  return py::array_t<float>(bits.size(), static_cast<const float*>(to.data()));
}

py::array_t<uint16_t> narrow_lanes(const std::string& dtype, py::array_t<float> values,
                                   bool one_by_one, bool streaming) {
  Guarded to(size_t(values.size()) * sizeof(uint16_t));
  const LaneTests& tests = lane_tests();
  if (streaming)
    tests.narrow_streaming(dtype_of(dtype), values.data(), values.size(), to.data());
  else
    tests.narrow(dtype_of(dtype), values.data(), values.size(), one_by_one, to.data());
  check(to.intact());
  return py::array_t<uint16_t>(values.size(), static_cast<const uint16_t*>(to.data()));
}

// The DFT of each row of z [lanes, points], one row per lane.
template <class T>
py::array_t<std::complex<T>> line_fft(py::array_t<std::complex<T>, py::array::c_style> z) {
  const Kernels& kernels = active_kernels();
  const int64_t width = sizeof(T) == 8 ? kernels.width64 : kernels.width32;
  const int64_t length = z.shape(1);
  if (z.shape(0) != width || !has_line(length)) throw py::value_error("unsupported lines");
  const auto plan = line_plan<T>(length);
  Guarded line(size_t(line_extent(length) * width) * sizeof(std::complex<T>));
  const auto at = [&](int64_t lane, int64_t place) {
    return static_cast<T*>(line.data()) + place * 2 * width + lane;
  };
  for (int64_t lane = 0; lane < width; ++lane)
    for (int64_t n = 0; n < length; ++n) {
      T* re = at(lane, plan->entry[n]);
      re[0] = z.at(lane, n).real(), re[width] = z.at(lane, n).imag();
    }
  kernels.line_fft(sizeof(T) == 8 ? DType::kFloat64 : DType::kFloat32, plan.get(), line.data());
  check(line.intact());
  py::array_t<std::complex<T>> out({width, length});
  for (int64_t lane = 0; lane < width; ++lane)
    for (int64_t k = 0; k < length; ++k) {
      const T* re = at(lane, plan->position[k]);
      out.mutable_at(lane, k) = {re[0], re[width]};
    }
  return out;
}

// grad and normalized are [rows, hidden]. Returns (du / rstd, dweight, dbias).
py::tuple norm_grad(py::array grad, py::array normalized, std::optional<py::array> weight,
                    const std::string& dtype, int slots) {
  NormGradArgs args;
  args.dtype = dtype_of(dtype);
  args.grad = grad.data(), args.normalized = normalized.data(), args.weight = data_or_null(weight);
  args.rows = grad.shape(0), args.hidden = grad.shape(1);
  const size_t row = size_t(args.hidden * element_size(args.dtype));
  Guarded du(row * size_t(args.rows)), dweight(row), dbias(row);
  args.du = du.data(), args.dweight = dweight.data(), args.dbias = dbias.data();
  const CpuNormGradPlan plan = plan_norm_grad_cpu(args);
  Guarded workspace(plan.workspace_bytes, 5);
  norm_grad_cpu(args, plan, workspace.data(), threads(slots));
  check(du.intact() && dweight.intact() && dbias.intact() && workspace.intact());
  const std::vector<py::ssize_t> line{args.hidden};
  return py::make_tuple(py::array(grad.dtype(), {grad.shape(0), grad.shape(1)}, du.data()),
                        py::array(grad.dtype(), line, dweight.data()),
                        py::array(grad.dtype(), line, dbias.data()));
}

}  // namespace

PYBIND11_MODULE(fnet_core_test, m) {
  m.def("radices", [] {
    std::vector<int> list;
    for (int r = 2; r <= kMaxRadix; ++r)
      if (Radices::visit(r, [](auto) {})) list.push_back(r);
    return list;
  });
  m.def("stage_cost", &stage_cost);
  m.def("dft32", &dft<float>);
  m.def("dft64", &dft<double>);
  m.def("root32", &root<float>);
  m.def("root64", &root<double>);
  m.def("cos_turn", &cos_turn);
  m.def("sin_turn", &sin_turn);
  m.def("factorise", &factors);
  m.def("mirror", [](int64_t n, int64_t length) { return mirror(n, length); });
  m.def("half_length", [](int64_t length) { return half_length(length); });
  m.def("widen_bfloat16", &widen<BFloat16>);
  m.def("widen_float16", &widen<Float16>);
  m.def("narrow_bfloat16", &narrow<BFloat16>);
  m.def("narrow_float16", &narrow<Float16>);
  m.def("widen_lanes", &widen_lanes, py::arg("dtype"), py::arg("bits"),
        py::arg("one_by_one") = false);
  m.def("narrow_lanes", &narrow_lanes, py::arg("dtype"), py::arg("values"),
        py::arg("one_by_one") = false, py::arg("streaming") = false);
  m.def("widths",
        [] { return py::make_tuple(active_kernels().width32, active_kernels().width64); });
  m.def("line_fft32", &line_fft<float>);
  m.def("line_fft64", &line_fft<double>);
  m.def("isas", [] { return std::string(cpu_isas()); });
  m.def("set_isa", [](const std::string& name) { return set_cpu_isa(name.c_str()); });
  m.def("stream_bytes", &stream_bytes);
  m.def("set_stream_bytes", &set_stream_bytes);
  m.def("caches_in", [](const std::string& folder) {
    const Caches found = caches_in(folder.c_str());
    return py::make_tuple(found.l2, found.last);
  });
  m.def("mix", &mix, py::arg("x"), py::arg("dtype") = "float32", py::arg("epilogue") = 0,
        py::arg("scale") = 1.0, py::arg("eps") = 1e-12, py::arg("weight") = py::none(),
        py::arg("bias") = py::none(), py::arg("row_scale") = py::none(),
        py::arg("spectrum") = py::none(), py::arg("slots") = 1, py::arg("transform") = 0,
        py::arg("scheme") = py::none(), py::arg("residual") = py::none(),
        py::arg("norm_first") = false, py::arg("rms") = false);
  m.def("seq_pass32", &seq_pass<float>);
  m.def("seq_pass64", &seq_pass<double>);
  m.def("row_pass32", &row_pass<float>);
  m.def("row_pass64", &row_pass<double>);
  m.def("plan", &plan);
  m.def("made_plans", &made_plans);
  m.def("scheme", &scheme);
  m.def("norm_grad", &norm_grad, py::arg("grad"), py::arg("normalized"),
        py::arg("weight") = py::none(), py::arg("dtype") = "float32", py::arg("slots") = 1);
}
