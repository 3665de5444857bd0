// Arguments and results between this program and fnet_core_test.py, the other end of its standard
// input and output. A message is a number of values, then the values; all numbers are
// little-endian.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace fnet::served {

// A NumPy array; dtype is NumPy's without the byte order. Strides are in bytes and not negative.
// The rest of Python is made of it: a number is an array of no dimensions, None has the dtype "",
// an argument that is left out "default", a string "S", a list of int "list".
struct Value {
  std::string dtype;
  std::vector<int64_t> shape, strides;
  std::vector<char> bytes;
};
using Message = std::vector<Value>;

inline bool read_exactly(void* to, size_t bytes) {
  return std::fread(to, 1, bytes, stdin) == bytes;
}

template <class Container>
bool read_counted(Container& items) {
  int64_t count = 0;
  if (!read_exactly(&count, sizeof(count))) return false;
  items.resize(size_t(count));
  return read_exactly(items.data(), items.size() * sizeof(items[0]));
}

template <class Container>
void write_counted(const Container& items) {
  const int64_t count = int64_t(items.size());
  std::fwrite(&count, sizeof(count), 1, stdout);
  std::fwrite(items.data(), sizeof(items[0]), items.size(), stdout);
}

// False at the end of the input.
inline bool read(Message& message) {
  int64_t count = 0;
  if (!read_exactly(&count, sizeof(count))) return false;
  message.resize(size_t(count));
  for (Value& value : message)
    if (!read_counted(value.dtype) || !read_counted(value.shape) || !read_counted(value.strides) ||
        !read_counted(value.bytes))
      return false;
  return true;
}

inline void write(const Message& message) {
  const int64_t count = int64_t(message.size());
  std::fwrite(&count, sizeof(count), 1, stdout);
  for (const Value& value : message) {
    write_counted(value.dtype);
    write_counted(value.shape);
    write_counted(value.strides);
    write_counted(value.bytes);
  }
  std::fflush(stdout);
}

}  // namespace fnet::served
