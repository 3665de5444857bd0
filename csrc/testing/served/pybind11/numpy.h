// The part of pybind11's arrays that core_test.cpp uses, for a program that has no Python.
#pragma once

#include <complex>
#include <initializer_list>

#include "testing/served/value.h"

namespace pybind11 {

using ssize_t = int64_t;

class dtype {
 public:
  explicit dtype(std::string name) : name_(std::move(name)) {}
  template <class T>
  static dtype of() {
    constexpr bool complex = !std::is_arithmetic_v<T>;
    constexpr char kind = complex ? 'c' : std::is_floating_point_v<T> ? 'f' : 'u';
    std::string name(1, kind);
    return dtype(name.append(std::to_string(sizeof(T))));
  }
  const std::string& name() const { return name_; }
  ssize_t itemsize() const { return std::stoll(name_.substr(1)); }

 private:
  std::string name_;
};

class array {
 public:
  enum { c_style = 1 };
  explicit array(fnet::served::Value value) : value_(std::move(value)) {}
  array(const class dtype& type, const std::vector<ssize_t>& shape, const void* data = nullptr) {
    value_.dtype = type.name();
    value_.shape = shape;
    value_.strides = shape;
    ssize_t bytes = type.itemsize();
    for (size_t i = shape.size(); i-- > 0; bytes *= shape[i]) value_.strides[i] = bytes;
    value_.bytes.resize(size_t(bytes));
    if (data) memcpy(value_.bytes.data(), data, size_t(bytes));
  }

  class dtype dtype() const { return pybind11::dtype(value_.dtype); }
  ssize_t itemsize() const { return dtype().itemsize(); }
  ssize_t shape(ssize_t i) const { return value_.shape[size_t(i)]; }
  ssize_t strides(ssize_t i) const { return value_.strides[size_t(i)]; }
  ssize_t nbytes() const { return ssize_t(value_.bytes.size()); }
  const void* data() const { return value_.bytes.data(); }
  void* mutable_data() { return value_.bytes.data(); }
  const fnet::served::Value& value() const { return value_; }

 private:
  fnet::served::Value value_;
};

// Dense: fnet_core_test.py converts what it passes.
template <class T, int Flags = 0>
class array_t : public array {
 public:
  explicit array_t(fnet::served::Value value) : array(std::move(value)) {}
  explicit array_t(const std::vector<ssize_t>& shape, const T* data = nullptr)
      : array(pybind11::dtype::of<T>(), shape, data) {}
  explicit array_t(ssize_t size, const T* data = nullptr)
      : array_t(std::vector<ssize_t>{size}, data) {}

  ssize_t size() const { return nbytes() / ssize_t(sizeof(T)); }
  const T* data() const { return static_cast<const T*>(array::data()); }
  T* mutable_data() { return static_cast<T*>(array::mutable_data()); }
  T at(ssize_t i) const { return data()[i]; }
  T at(ssize_t i, ssize_t j) const { return data()[i * shape(1) + j]; }
  T& mutable_at(ssize_t i) { return mutable_data()[i]; }
  T& mutable_at(ssize_t i, ssize_t j) { return mutable_data()[i * shape(1) + j]; }
};

}  // namespace pybind11
