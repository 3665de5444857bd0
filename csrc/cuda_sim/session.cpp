#include "cuda_sim/session.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>
#include <stdexcept>

namespace fnet::cuda_sim {
namespace {

// Before and after each buffer, so that an overrun does not end in another one. Nothing backs it.
constexpr size_t kGuard = size_t(1) << 24, kPage = 4096;

size_t reserved(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage + 2 * kGuard; }

}  // namespace

Session* Session::open_ = nullptr;

Session::Session(uint64_t seed, size_t shared_limit)
    : random_state_(seed), shared_limit_(shared_limit) {
  if (open_) throw std::logic_error("another cuda_sim session is open");
  open_ = this;
}

Session::~Session() {
  for (const Buffer& buffer : buffers_)
    if (buffer.owned) munmap(buffer.data - kGuard, reserved(buffer.bytes));
  open_ = nullptr;
}

const void* Session::input(const std::string& name, const void* data, size_t bytes) {
  return allocate(name, bytes, data, false);
}

void* Session::output(const std::string& name, size_t bytes, const void* data) {
  return allocate(name, bytes, data, true);
}

char* Session::allocate(const std::string& name, size_t bytes, const void* data, bool writable) {
  void* area =
      mmap(nullptr, reserved(bytes), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) throw std::bad_alloc();
  char* begin = static_cast<char*>(area) + kGuard;
  if (mprotect(begin, reserved(bytes) - 2 * kGuard, PROT_READ | PROT_WRITE)) throw std::bad_alloc();
  if (data)
    memcpy(begin, data, bytes);
  else
    memset(begin, 0xff, bytes);
  buffers_.push_back({name, begin, bytes, writable, Shadow(writable ? bytes : 0, false)});
  return begin;
}

const std::string& Session::kernel_at(uint32_t time) const {
  const auto next =
      std::upper_bound(launches_.begin(), launches_.end(), time,
                       [](uint32_t t, const LaunchReport& launch) { return t < launch.began; });
  return std::prev(next)->kernel;
}

}  // namespace fnet::cuda_sim
