// Helpers of sessions for Python: NumPy arrays in and out, reports as dicts and lists.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "cuda_sim/session.h"

namespace fnet::cuda_sim {

namespace py = pybind11;

template <class T = void>
const T* input(Session& session, const char* name, const py::array& x) {
  const py::array dense = py::array::ensure(x, py::array::c_style);
  return static_cast<const T*>(session.input(name, dense.data(), size_t(dense.nbytes())));
}

// Copies the device memory at p to a new array.
template <class T>
py::array_t<T> fetch(const T* p, std::vector<py::ssize_t> shape) {
  return py::array_t<T>(std::move(shape), p);
}

inline py::list report(const Session& session) {
  using namespace py::literals;
  const auto triple = [](dim3 d) { return py::make_tuple(d.x, d.y, d.z); };
  py::list launches;
  for (const LaunchReport& r : session.launches()) {
    py::list accesses, errors;
    for (const Access& a : r.accesses)
      accesses.append(py::dict("where"_a = a.where, "buffer"_a = a.buffer, "write"_a = a.write,
                               "width"_a = a.width, "requests"_a = a.requests, "bytes"_a = a.bytes,
                               "transactions"_a = a.transactions, "ideal"_a = a.ideal));
    for (const Error& e : r.errors)
      errors.append(
          py::dict("kind"_a = e.kind, "where"_a = e.where, "text"_a = e.text, "count"_a = e.count));
    launches.append(py::dict("kernel"_a = r.kernel, "grid"_a = triple(r.grid),
                             "block"_a = triple(r.block), "shared_bytes"_a = r.shared_bytes,
                             "barriers"_a = r.barriers, "warp_barriers"_a = r.warp_barriers,
                             "accesses"_a = accesses, "errors"_a = errors));
  }
  return launches;
}

}  // namespace fnet::cuda_sim
