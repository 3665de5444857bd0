// cuda_sim_selftest: each function returns the output of a kernel and the report of its launch.
#include <pybind11/stl.h>

#include <array>

#include "testing/cuda_sim_selftest/kernels.h"
#include "testing/numpy_session.h"

namespace fnet::selftest {

namespace {

namespace py = pybind11;
using cuda_sim::Session;
using py::array_t;

// Runs kernels that read x and write `count` elements of y. Returns the report of the last launch.
template <class Run>
py::tuple float_kernel(uint64_t seed, const py::array& x, int64_t count, const Run& run) {
  Session session(seed);
  const auto* in = cuda_sim::input<float>(session, "x", x);
  auto* out = static_cast<float*>(session.output("y", size_t(count) * sizeof(float)));
  const int status = run(in, out);
  const py::list reports = cuda_sim::report(session);
  return py::make_tuple(cuda_sim::fetch(out, {count}), reports[reports.size() - 1], status);
}

// Runs kernels that need no x.
template <class Run>
py::tuple writing_kernel(uint64_t seed, int64_t count, const Run& run) {
  return float_kernel(seed, array_t<float>(1), count, [&](auto*, auto* out) { return run(out); });
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
    return writing_kernel(seed, 64, [&](auto* out) { return warp_barrier_for_block(out); });
  });
  m.def("wide_reads", [](int width, int step) {
    return writing_kernel(0, 32, [&](auto* out) { return wide_reads(out, width, step); });
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
    return writing_kernel(seed, 128, [&](auto* out) { return divergent_barrier(out, how); });
  });
  m.def("out_of_range", [](array_t<float> x, int what) {
    return float_kernel(
        0, x, 32, [&](auto* in, auto* out) { return out_of_range(in, out, int(x.size()), what); });
  });
  m.def("uninitialised",
        [] { return writing_kernel(0, 32, [&](auto* out) { return uninitialised(out); }); });
  m.def("overlapping_blocks", [](bool read_only, uint64_t seed) {
    return writing_kernel(seed, 128, [&](auto* out) { return overlapping_blocks(out, read_only); });
  });
  m.def("misaligned", [](array_t<float> x) {
    return float_kernel(0, x, 128, [&](auto* in, auto* out) { return misaligned(in, out); });
  });
  m.def("constant_reads", [](int how) {
    return writing_kernel(0, 64, [&](auto* out) { return constant_reads(out, how); });
  });
  py::enum_<Race>(m, "Race")
      .value("READS_THEN_WRITE", Race::kReadsThenWrite)
      .value("LANE_AMONG_READERS", Race::kLaneAmongReaders)
      .value("SYNCED_WARP", Race::kSyncedWarp)
      .value("READERS_OF_TWO_WARPS", Race::kReadersOfTwoWarps)
      .value("TWO_WRITES", Race::kTwoWrites)
      .value("WIDE_THEN_NARROW", Race::kWideThenNarrow)
      .value("NARROW_THEN_WIDE", Race::kNarrowThenWide);
  m.def("race", [](Race kind, uint64_t seed) {
    return writing_kernel(seed, 4, [&](auto* out) { return race(out, kind); });
  });
  m.def("blocks_read", [](uint64_t seed) {
    return writing_kernel(seed, 1, [&](auto* out) { return blocks_read(out); });
  });
  m.def("blocks_write", [](int blocks, uint64_t seed) {
    return writing_kernel(seed, 1, [&](auto* out) { return blocks_write(out, blocks); });
  });
  py::enum_<Early>(m, "Early")
      .value("NONE", Early::kNone)
      .value("READ_OF_READ", Early::kReadOfRead)
      .value("READ_OF_WRITTEN", Early::kReadOfWritten)
      .value("WRITE_OF_WRITTEN", Early::kWriteOfWritten)
      .value("WRITE_OF_READ", Early::kWriteOfRead)
      .value("CHANGE_OF_READ", Early::kChangeOfRead)
      .value("CONSTANT_READ", Early::kConstantRead)
      .value("LANE_WITHOUT_AWAIT", Early::kLaneWithoutAwait);
  m.def("early_access", [](Early what, bool second_overlaps) {
    return writing_kernel(0, 64,
                          [&](auto* out) { return early_access(out, what, second_overlaps); });
  });
  m.def("overlap_nothing",
        [] { return writing_kernel(0, 64, [&](auto* out) { return overlap_nothing(out); }); });
  using Grid = std::array<unsigned, 3>;
  m.def("wrong_launch", [](const Grid& grid, int threads, int64_t shared_bytes) {
    return writing_kernel(0, 1, [&](auto*) {
      return wrong_launch({grid[0], grid[1], grid[2]}, threads, shared_bytes);
    });
  });
  // No session is open, so the launch fails.
  m.def("no_session", [] { return wrong_launch(1, 32, 0); });
}

}  // namespace
}  // namespace fnet::selftest
