// fnet_cuda_test: cuda/api.h on NumPy arrays, with the kernels in the simulator. Each function
// returns the outputs of the kernels and the reports of their launches.
#include <pybind11/stl.h>

#include <array>
#include <map>
#include <optional>

#include "cuda/api.h"
#include "cuda/blocks.h"
#include "testing/numpy_session.h"

namespace fnet {
namespace {

namespace py = pybind11;
using cuda_sim::Session;
using Array = std::optional<py::array>;
using Facts = std::tuple<int, int, int64_t>;  // the fields of a CudaDevice, in order

CudaDevice device_of(const Facts& facts) {
  return {std::get<0>(facts), std::get<1>(facts), std::get<2>(facts)};
}

DType dtype_of(const std::string& name) {
  if (name == "float64") return DType::kFloat64;
  if (name == "bfloat16") return DType::kBFloat16;
  if (name == "float16") return DType::kFloat16;
  return DType::kFloat32;
}

const void* optional_input(Session& session, const char* name, const Array& a) {
  return a ? cuda_sim::input(session, name, *a) : nullptr;
}

// `bytes` at p as a flat array of unsigned char, which the tests view as another dtype.
py::array_t<uint8_t> bytes_at(const void* p, int64_t bytes) {
  return cuda_sim::fetch(static_cast<const uint8_t*>(p), {bytes});
}

// The arguments and results that both paths share.
struct Problem {
  MixArgs args;
  int64_t bytes, rows;

  // x is [batch, seq, pitch] in the storage type; the kernels read `hidden` columns.
  Problem(Session& session, const py::array& x, int64_t hidden, const std::string& dtype,
          int epilogue, double scale, double eps, const Array& weight, const Array& bias,
          const Array& row_scale, bool train, bool in_place) {
    args.dtype = dtype_of(dtype);
    args.batch = x.shape(0), args.seq = x.shape(1), args.hidden = hidden;
    args.x_row_stride = x.shape(2);
    args.x_batch_stride = x.shape(1) * x.shape(2);
    args.row_scale = optional_input(session, "row_scale", row_scale);
    args.scale = scale;
    args.eps = eps;
    args.epilogue = Epilogue(epilogue);
    args.weight = optional_input(session, "weight", weight);
    args.bias = optional_input(session, "bias", bias);
    rows = args.batch * args.seq;
    bytes = rows * hidden * element_size(args.dtype);
    if (in_place) {
      args.y = session.output("x and y", size_t(bytes), x.data());
      args.x = args.y;
    } else {
      args.x = cuda_sim::input(session, "x", x);
      args.y = session.output("y", size_t(bytes));
    }
    if (!train) return;
    args.normalized = session.output("normalized", size_t(bytes));
    args.rstd = session.output("rstd", size_t(rows * compute_size(args.dtype)));
  }

  void set_block(Session& session, bool rms, bool norm_first, const Array& residual) {
    args.norm = rms ? NormType::kRms : NormType::kLayer;
    if (residual) {
      args.residual = cuda_sim::input(session, "residual", *residual);
      args.residual_row_stride = residual->shape(2);
      args.residual_batch_stride = residual->shape(1) * residual->shape(2);
    }
    args.norm_first = norm_first;
    if (!norm_first) return;
    const auto row = [&](const char* name) {
      return session.output(name, size_t(rows * compute_size(args.dtype)));
    };
    args.mean = row("mean");
    args.rstd = row("rstd");
  }

  py::dict results(const Session& session, Status status) const {
    using namespace py::literals;
    py::dict out("status"_a = int(status), "y"_a = bytes_at(args.y, bytes),
                 "launches"_a = cuda_sim::report(session));
    const auto add = [&](const char* name, const void* p, int64_t size) {
      if (p) out[name] = bytes_at(p, size);
    };
    add("normalized", args.normalized, bytes);
    add("rstd", args.rstd, rows * compute_size(args.dtype));
    add("mean", args.mean, rows * compute_size(args.dtype));
    return out;
  }
};

// residual: as x, with a row pitch of its own.
py::dict mix(py::array x, int64_t hidden, const std::string& dtype, int epilogue, double scale,
             double eps, Array weight, Array bias, Array row_scale, bool train, bool in_place,
             const Facts& facts, uint64_t seed, bool rms, bool norm_first, Array residual) {
  const CudaDevice device = device_of(facts);
  Session session(seed, size_t(device.shared_bytes));
  Problem problem(session, x, hidden, dtype, epilogue, scale, eps, weight, bias, row_scale, train,
                  in_place);
  problem.set_block(session, rms, norm_first, residual);
  const CudaPlan plan = plan_cuda(problem.args, device);
  void* workspace = session.output("spectrum", plan.workspace_bytes);
  return problem.results(session, mix_cuda(problem.args, plan, workspace, {}));
}

// Sequences of different lengths in the rows of x, [rows, pitch]: each (x, row, length, seq, end),
// as in Sequence. Writes zeros past the lengths, as the binding does. Other rows that no sequence
// writes remain as allocated, NaN. Also returns how many sequences have no kernels.
py::dict mix_varlen(py::array x, int64_t hidden, const std::string& dtype, int epilogue,
                    double scale, double eps, Array weight, Array bias, bool train, bool in_place,
                    const std::vector<std::array<int64_t, 5>>& sequences, int64_t output_rows,
                    const Facts& facts, uint64_t seed) {
  const CudaDevice device = device_of(facts);
  Session session(seed, size_t(device.shared_bytes));
  const py::array batch = x.attr("reshape")(1, x.shape(0), x.shape(1));
  Problem problem(session, batch, hidden, dtype, epilogue, scale, eps, weight, bias, {}, train,
                  in_place);
  problem.args.output_rows = output_rows;
  std::vector<Sequence> all;
  for (const auto& [first, row, length, seq, end] : sequences)
    all.push_back({first, row, length, seq, end, scale});
  Status status = clear_rows_past_cuda(problem.args, all, {});
  const CudaVarlenPlan plan = plan_varlen_cuda(problem.args, all, device);
  if (status == Status::kOk && !plan.groups.empty()) {
    void* workspace = session.output("workspace", plan.workspace_bytes);
    status = mix_varlen_cuda(problem.args, plan, workspace, {});
  }
  py::dict out = problem.results(session, status);
  out["others"] = plan.others.size();
  return out;
}

// Runs the seq pass of the only slice. Returns the packed spectrum, [batch, 2, seq / 2, pitch].
py::dict seq_pass(py::array x, const std::string& dtype, const Facts& facts, uint64_t seed) {
  Session session(seed);
  const Problem problem(session, x, x.shape(2), dtype, 0, 1, 0, {}, {}, {}, false, false);
  const CudaPlan plan = plan_cuda(problem.args, device_of(facts));
  if (plan.slices.count != 1) throw py::value_error("several slices");
  void* spectrum = session.output("spectrum", plan.workspace_bytes);
  py::dict out = problem.results(session, seq_pass_cuda(problem.args, plan, 0, spectrum, {}));
  out["launches"] = cuda_sim::report(session);
  out["spectrum"] = bytes_at(spectrum, int64_t(plan.workspace_bytes));
  return out;
}

// Runs the row pass alone: y = x + scale M(x), from a packed spectrum.
py::dict row_pass(py::array x, const std::string& dtype, double scale, py::array spectrum,
                  const Facts& facts, uint64_t seed) {
  Session session(seed);
  const Problem problem(session, x, x.shape(2), dtype, 1, scale, 0, {}, {}, {}, false, false);
  const CudaPlan plan = plan_cuda(problem.args, device_of(facts));
  if (plan.slices.count != 1) throw py::value_error("several slices");
  const void* packed = cuda_sim::input(session, "spectrum", spectrum);
  return problem.results(session, row_pass_cuda(problem.args, plan, 0, packed, {}));
}

// Runs the second half of the general path, from the one-sided spectrum of row_scale x. transform:
// 0 Fourier, 1 Hartley.
py::dict mix_from_spectrum(py::array x, int64_t hidden, const std::string& dtype, int epilogue,
                           double scale, double eps, Array weight, Array bias, Array row_scale,
                           bool train, bool in_place, py::array spectrum, int transform,
                           uint64_t seed, bool rms, Array residual) {
  Session session(seed);
  Problem problem(session, x, hidden, dtype, epilogue, scale, eps, weight, bias, row_scale, train,
                  in_place);
  problem.args.transform = Transform(transform);
  problem.set_block(session, rms, false, residual);
  const void* one_sided = cuda_sim::input(session, "spectrum", spectrum);
  return problem.results(session, mix_from_spectrum_cuda(problem.args, one_sided, {}));
}

// With norm_first the normalised rows.
py::dict widen_rows(py::array x, int64_t hidden, const std::string& dtype, Array row_scale,
                    uint64_t seed, bool norm_first, bool rms, double eps, Array weight,
                    Array bias) {
  Session session(seed);
  Problem problem(session, x, hidden, dtype, 1, 1, eps, weight, bias, row_scale, false, false);
  problem.set_block(session, rms, norm_first, {});
  const int64_t bytes = problem.rows * hidden * compute_size(problem.args.dtype);
  void* wide = session.output("wide", size_t(bytes));
  const Status status = widen_rows_cuda(problem.args, wide, {});
  py::dict out = problem.results(session, status);
  out["wide"] = bytes_at(wide, bytes);
  return out;
}

// grad and normalized are [rows, hidden].
//
// With mean and residual: `normalized` is x, and du overwrites grad.
py::dict norm_grad(py::array grad, py::array normalized, const std::string& dtype, Array weight,
                   Array rstd, bool sums, uint64_t seed, bool rms, Array mean, Array residual) {
  using namespace py::literals;
  Session session(seed);
  NormGradArgs args;
  args.dtype = dtype_of(dtype);
  args.rows = grad.shape(0), args.hidden = grad.shape(1);
  args.norm = rms ? NormType::kRms : NormType::kLayer;
  args.normalized = cuda_sim::input(session, "normalized", normalized);
  args.weight = optional_input(session, "weight", weight);
  args.rstd = optional_input(session, "rstd", rstd);
  args.mean = optional_input(session, "mean", mean);
  args.residual = optional_input(session, "residual", residual);
  const int64_t row = args.hidden * element_size(args.dtype);
  args.du = session.output("du", size_t(args.rows * row), mean ? grad.data() : nullptr);
  args.grad = mean ? args.du : cuda_sim::input(session, "grad", grad);
  if (sums) {
    args.dweight = session.output("dweight", size_t(row));
    args.dbias = session.output("dbias", size_t(row));
  }
  void* workspace = session.output("partials", norm_grad_cuda_workspace(args));
  const Status status = norm_grad_cuda(args, workspace, {});
  py::dict out("status"_a = int(status), "du"_a = bytes_at(args.du, args.rows * row),
               "launches"_a = cuda_sim::report(session));
  if (sums) {
    out["dweight"] = bytes_at(args.dweight, row);
    out["dbias"] = bytes_at(args.dbias, row);
  }
  return out;
}

// The whole backward pass: dx and the sums. Arrays are [batch, seq, hidden], rstd and mean
// [batch, seq]. With mean that of pre-norm, where `normalized` is x.
py::dict norm_mix_grad(py::array grad, py::array normalized, py::array rstd,
                       const std::string& dtype, double scale, Array weight, bool sums,
                       const Facts& facts, uint64_t seed, bool rms, Array mean) {
  using namespace py::literals;
  const CudaDevice device = device_of(facts);
  Session session(seed, size_t(device.shared_bytes));
  MixArgs args;
  args.dtype = dtype_of(dtype);
  args.batch = grad.shape(0), args.seq = grad.shape(1), args.hidden = grad.shape(2);
  args.scale = scale;
  NormGradArgs norm;
  norm.dtype = args.dtype;
  norm.norm = rms ? NormType::kRms : NormType::kLayer;
  norm.grad = cuda_sim::input(session, "grad", grad);
  norm.normalized = cuda_sim::input(session, "normalized", normalized);
  norm.rstd = cuda_sim::input(session, "rstd", rstd);
  norm.mean = optional_input(session, "mean", mean);
  norm.weight = optional_input(session, "weight", weight);
  const int64_t row = args.hidden * element_size(args.dtype), bytes = args.batch * args.seq * row;
  args.y = session.output("dx", size_t(bytes));
  if (mean) {
    args.x = norm.residual = norm.grad;
    args.x_row_stride = args.hidden, args.x_batch_stride = args.seq * args.hidden;
    norm.grad = norm.du = args.y;
  }
  if (sums) {
    norm.dweight = session.output("dweight", size_t(row));
    norm.dbias = session.output("dbias", size_t(row));
  }
  const CudaGradPlan plan = plan_cuda_grad(norm, args, device);
  void* workspace = session.output("workspace", plan.workspace_bytes);
  const Status status = norm_mix_grad_cuda(norm, args, plan, workspace, {});
  py::dict out("status"_a = int(status), "dx"_a = bytes_at(args.y, bytes),
               "launches"_a = cuda_sim::report(session), "workspace"_a = plan.workspace_bytes);
  if (sums) {
    out["dweight"] = bytes_at(norm.dweight, row);
    out["dbias"] = bytes_at(norm.dbias, row);
  }
  return out;
}

// The sizes of the slices of a batch; empty for lengths without kernels.
std::vector<int64_t> slices(int64_t batch, int64_t seq, int64_t hidden, const std::string& dtype,
                            const Facts& facts) {
  MixArgs args;
  args.batch = batch, args.seq = seq, args.hidden = hidden;
  args.dtype = dtype_of(dtype);
  const Slices slices = plan_cuda(args, device_of(facts)).slices;
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < slices.count; ++i) sizes.push_back(slices.size(i));
  return sizes;
}

template <const auto& Shapes>
std::vector<int> lengths() {
  std::vector<int> all;
  for (const auto& shape : Shapes)
    if (all.empty() || all.back() != length_of(shape)) all.push_back(length_of(shape));
  return all;
}

// The blocks of a kernel, by index in the list of shapes: name, threads, shared bytes, blocks per
// multiprocessor that the registers allow, and elements of x per thread. A point is two elements
// and their two mirror images.
using Block = std::tuple<std::string, int, int, int, int>;

template <class T>
std::vector<Block> seq_blocks() {
  std::vector<Block> all;
  const auto add = [&](auto i) {
    if constexpr (kSeqShapes[i].template tile<T>().lines == 0) {
      all.emplace_back("", 0, 0, 0, 0);
    } else {
      using K = SeqBlock<T, i>;
      const std::string name = std::to_string(K::kSeq) + " x " + std::to_string(K::kLines);
      all.emplace_back(name, K::kThreads, K::kSharedBytes, K::kTile.blocks_per_sm,
                       4 * K::kLine.points);
    }
    return false;
  };
  detail::any_index(add, std::make_index_sequence<std::size(kSeqShapes)>{});
  return all;
}

template <class T>
std::vector<Block> row_blocks() {
  std::vector<Block> all;
  const auto add = [&](auto i) {
    using K = RowBlock<i>;
    all.emplace_back(std::to_string(K::kLength), K::kThreads, K::kSharedBytes,
                     K::template kBlocksPerSm<T>, 4 * K::kPoints);
    return false;
  };
  detail::any_index(add, std::make_index_sequence<std::size(kRowShapes)>{});
  return all;
}

template <class T>
std::map<std::string, std::vector<Block>> all_blocks() {
  return {{"seq_fft", seq_blocks<T>()}, {"row_fft", row_blocks<T>()}};
}

PYBIND11_MODULE(fnet_cuda_test, m) {
  using namespace py::literals;
  m.def("mix", &mix, "x"_a, "hidden"_a, "dtype"_a, "epilogue"_a, "scale"_a, "eps"_a, "weight"_a,
        "bias"_a, "row_scale"_a, "train"_a, "in_place"_a, "device"_a, "seed"_a, "rms"_a = false,
        "norm_first"_a = false, "residual"_a = py::none());
  m.def("mix_varlen", &mix_varlen, "x"_a, "hidden"_a, "dtype"_a, "epilogue"_a, "scale"_a, "eps"_a,
        "weight"_a, "bias"_a, "train"_a, "in_place"_a, "sequences"_a, "output_rows"_a, "device"_a,
        "seed"_a);
  m.def("seq_pass", &seq_pass, "x"_a, "dtype"_a, "device"_a, "seed"_a);
  m.def("row_pass", &row_pass, "x"_a, "dtype"_a, "scale"_a, "spectrum"_a, "device"_a, "seed"_a);
  m.def("mix_from_spectrum", &mix_from_spectrum, "x"_a, "hidden"_a, "dtype"_a, "epilogue"_a,
        "scale"_a, "eps"_a, "weight"_a, "bias"_a, "row_scale"_a, "train"_a, "in_place"_a,
        "spectrum"_a, "transform"_a, "seed"_a, "rms"_a = false, "residual"_a = py::none());
  m.def("widen_rows", &widen_rows, "x"_a, "hidden"_a, "dtype"_a, "row_scale"_a, "seed"_a,
        "norm_first"_a = false, "rms"_a = false, "eps"_a = 0, "weight"_a = py::none(),
        "bias"_a = py::none());
  m.def("norm_grad", &norm_grad, "grad"_a, "normalized"_a, "dtype"_a, "weight"_a, "rstd"_a,
        "sums"_a, "seed"_a, "rms"_a = false, "mean"_a = py::none(), "residual"_a = py::none());
  m.def("norm_mix_grad", &norm_mix_grad, "grad"_a, "normalized"_a, "rstd"_a, "dtype"_a, "scale"_a,
        "weight"_a, "sums"_a, "device"_a, "seed"_a, "rms"_a = false, "mean"_a = py::none());
  m.def("slices", &slices, "batch"_a, "seq"_a, "hidden"_a, "dtype"_a, "device"_a);
  m.def("blocks", [](const std::string& dtype) {
    return element_size(dtype_of(dtype)) == 4 ? all_blocks<float>() : all_blocks<BFloat16>();
  });
  m.def("skip_await", [](const std::string& place) { Session::skipped_await = place; });
  m.def("seq_lengths", &lengths<kSeqShapes>);
  m.def("hidden_lengths", &lengths<kRowShapes>);
}

}  // namespace
}  // namespace fnet
