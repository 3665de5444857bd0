#include "cuda_sim/session.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

namespace fnet::cuda_sim {

Session* Session::open_ = nullptr;

Session::Session(uint64_t seed, size_t shared_limit)
    : random_state_(seed), shared_limit_(shared_limit) {
  if (open_) throw std::logic_error("another cuda_sim session is open");
  open_ = this;
}

Session::~Session() {
  for (const Buffer& buffer : buffers_)
    if (buffer.owned) free(buffer.data);
  open_ = nullptr;
}

const void* Session::input(const std::string& name, const void* data, size_t bytes) {
  return allocate(name, bytes, data, false);
}

void* Session::output(const std::string& name, size_t bytes, const void* data) {
  return allocate(name, bytes, data, true);
}

char* Session::allocate(const std::string& name, size_t bytes, const void* data, bool writable) {
  void* memory = nullptr;
  // The exact size, so that the address sanitizer also detects an overrun.
  if (posix_memalign(&memory, 256, bytes ? bytes : 1)) throw std::bad_alloc();
  if (data)
    memcpy(memory, data, bytes);
  else
    memset(memory, 0xff, bytes);
  char* begin = static_cast<char*>(memory);
  buffers_.push_back({name, begin, bytes, writable, Shadow(writable ? bytes : 0, false)});
  return begin;
}

}  // namespace fnet::cuda_sim
