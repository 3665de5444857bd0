// cuda_sim_selftest: each function returns the output of a kernel and the report of its launch.
#include "testing/cuda_sim_selftest/kernels.h"
#include "testing/numpy_session.h"

namespace fnet::selftest {

namespace {

namespace py = pybind11;
using cuda_sim::Session;
using py::array_t;

// Runs a kernel that reads x and writes `count` elements of y.
template <class Run>
py::tuple float_kernel(uint64_t seed, const py::array& x, int64_t count, const Run& run) {
  Session session(seed);
  const auto* in = cuda_sim::input<float>(session, "x", x);
  auto* out = static_cast<float*>(session.output("y", size_t(count) * sizeof(float)));
  const int status = run(in, out);
  return py::make_tuple(cuda_sim::fetch(out, {count}), cuda_sim::report(session)[0], status);
}

PYBIND11_MODULE(cuda_sim_selftest, m) {
  m.def("copy", [](array_t<float> x, int64_t n, int stride, int width) {
    return float_kernel(0, x, n,
                        [&](auto* in, auto* out) { return copy(in, out, n, stride, width); });
  });
  m.def("skewed_copy", [](array_t<float> x) {
    return float_kernel(0, x, x.size(),
                        [&](auto* in, auto* out) { return skewed_copy(in, out, int(x.size())); });
  });
  m.def("exchange", [](array_t<float> x, int pitch, bool swizzle) {
    return float_kernel(0, x, 1024,
                        [&](auto* in, auto* out) { return exchange(in, out, pitch, swizzle); });
  });
  m.def("block_sum", [](array_t<float> x, int missing_barrier, uint64_t seed) {
    const int blocks = int(x.size() / 256);
    return float_kernel(seed, x, blocks, [&](auto* in, auto* out) {
      return block_sum(in, out, blocks, missing_barrier);
    });
  });
  m.def("warp_sum", [](array_t<float> x, bool missing_sync, uint64_t seed) {
    return float_kernel(seed, x, x.size(), [&](auto* in, auto* out) {
      return warp_sum(in, out, int(x.size() / 64), missing_sync);
    });
  });
  m.def("warp_barrier_for_block", [](uint64_t seed) {
    return float_kernel(seed, array_t<float>(1), 64,
                        [&](auto*, auto* out) { return warp_barrier_for_block(out); });
  });
  m.def("wide_reads", [](int width, int step) {
    return float_kernel(0, array_t<float>(1), 32,
                        [&](auto*, auto* out) { return wide_reads(out, width, step); });
  });
  m.def("shuffles", [](array_t<int32_t> x) {
    Session session(0);
    auto* y = static_cast<int32_t*>(session.output("y", 4 * 64 * sizeof(int32_t)));
    auto* z = static_cast<double*>(session.output("z", 64 * sizeof(double)));
    const int status = shuffles(cuda_sim::input<int32_t>(session, "x", x), y, z);
    return py::make_tuple(cuda_sim::fetch(y, {4, 64}), cuda_sim::fetch(z, {64}),
                          cuda_sim::report(session)[0], status);
  });
  m.def("line_fft", [](array_t<float> x) {
    return float_kernel(0, x, x.size(), [&](auto* in, auto* out) {
      return line_fft(in, out, int(x.size() / 8192));
    });
  });
  m.def("divergent_barrier", [](int how, uint64_t seed) {
    return float_kernel(seed, array_t<float>(1), 128,
                        [&](auto*, auto* out) { return divergent_barrier(out, how); });
  });
  m.def("out_of_range", [](array_t<float> x, int what) {
    return float_kernel(
        0, x, 32, [&](auto* in, auto* out) { return out_of_range(in, out, int(x.size()), what); });
  });
  m.def("uninitialised", [] {
    return float_kernel(0, array_t<float>(1), 32,
                        [&](auto*, auto* out) { return uninitialised(out); });
  });
  m.def("overlapping_blocks", [](bool read_only, uint64_t seed) {
    return float_kernel(seed, array_t<float>(1), 128,
                        [&](auto*, auto* out) { return overlapping_blocks(out, read_only); });
  });
  m.def("misaligned", [](array_t<float> x) {
    return float_kernel(0, x, 128, [&](auto* in, auto* out) { return misaligned(in, out); });
  });
  m.def("constant_reads", [](int how) {
    return float_kernel(0, array_t<float>(1), 64,
                        [&](auto*, auto* out) { return constant_reads(out, how); });
  });
  m.def("wrong_launch", [](int threads, int64_t shared_bytes) {
    return float_kernel(0, array_t<float>(1), 1,
                        [&](auto*, auto*) { return wrong_launch(threads, shared_bytes); });
  });
  // No session is open, so the launch fails.
  m.def("no_session", [] { return wrong_launch(32, 0); });
}

}  // namespace
}  // namespace fnet::selftest
