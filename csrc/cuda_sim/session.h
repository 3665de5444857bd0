// A simulated device: its memory, and a record of what its kernels did. Plain C++, for test
// drivers.
//
//   Session session(seed);
//   auto* x = static_cast<const float*>(session.input("x", data, bytes));
//   auto* y = static_cast<float*>(session.output("y", bytes));
//   int status = launch({.name = "k", .grid = 4, .block = 128}, k, x, y);
//   session.launches().back().errors, .accesses ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda_sim/shadow.h"

namespace fnet {

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct LaunchConfig {
  const char* name = "";
  dim3 grid = 1, block = 1;
  size_t shared_bytes = 0;
  void* stream = nullptr;
  bool in_order = false;  // blocks run so, not in random order
};

namespace cuda_sim {

// What the warps asked of memory at one place in the source. A request is one instruction of one
// warp. Global memory moves 32-byte sectors, shared memory wavefronts of 32 banks of 4 bytes; ideal
// is as many of them as the request needs at least:
//   global: its distinct bytes / 32, rounded up
//   shared: one for each part served at once, which is the warp, or its halves (quarters) for 8
//           (16) bytes a lane
struct Access {
  std::string where;   // file:line:column
  std::string buffer;  // "shared", or the name given to the session
  bool write = false;
  int width = 0;  // bytes per lane
  uint64_t requests = 0;
  uint64_t bytes = 0;  // global: what lanes share counts once a request
  uint64_t transactions = 0, ideal = 0;
};

// kind: "out of range", "misaligned", "read-only", "uninitialised", "race", "not constant",
// "divergence", "deadlock", "configuration". The text is of the first of `count` occurrences at one
// place.
struct Error {
  std::string kind, where, text;
  uint64_t count = 0;
};

struct LaunchReport {
  std::string kernel;
  dim3 grid = 1, block = 1;
  size_t shared_bytes = 0;
  uint64_t barriers = 0;       // sync_threads, summed over blocks
  uint64_t warp_barriers = 0;  // sync_warp and shuffles, summed over warps
  std::vector<Access> accesses;
  std::vector<Error> errors;
};

struct Buffer {
  std::string name;
  char* data;
  size_t bytes;
  bool writable;
  Shadow shadow;
  bool owned = true;
};

// One at a time; launch() finds it. Kernels may touch nothing but its buffers, which begin at
// multiples of 256 bytes as cudaMalloc's do and live as long as the session.
class Session {
 public:
  // shared_limit: of a block, by default that of sm_90. The seed orders blocks, and the threads of
  // a block between two barriers.
  explicit Session(uint64_t seed, size_t shared_limit = 227 * 1024);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // A copy of data that kernels only read.
  const void* input(const std::string& name, const void* data, size_t bytes);
  // Memory that kernels may write; it begins as a copy of data, or as NaN in every float format.
  void* output(const std::string& name, size_t bytes, const void* data = nullptr);

  const std::vector<LaunchReport>& launches() const { return launches_; }

 private:
  friend class Launch;

  char* allocate(const std::string& name, size_t bytes, const void* data, bool writable);

  static Session* open_;

  uint64_t random_state_;
  size_t shared_limit_;
  uint32_t clock_ = 1;  // of the shadows
  std::vector<Buffer> buffers_;
  std::vector<LaunchReport> launches_;
};

}  // namespace cuda_sim
}  // namespace fnet
