// A simulated device: its memory, and a record of its kernels' accesses and errors. Plain C++, for
// test drivers.
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

#include "cuda/launch_config.h"
#include "cuda_sim/shadow.h"

namespace fnet::cuda_sim {

// The memory requests of all warps at one place in the source. A request is one instruction of one
// warp. A transaction is a 32-byte sector of global memory, or a wavefront of shared memory (32
// banks of 4 bytes). `ideal` counts the minimum of transactions:
//   global: distinct bytes of the request / 32, rounded up
//   shared: one for each part of a warp that is served at once: the whole warp, or halves
//   (quarters)
//           for 8 (16) bytes per lane
struct Access {
  std::string where;   // file:line:column
  std::string buffer;  // "shared", or the name given to the session
  bool write = false;
  int width = 0;  // bytes per lane
  uint64_t requests = 0;
  uint64_t bytes = 0;  // global: bytes that lanes share count once per request
  uint64_t transactions = 0, ideal = 0;
};

// kind: "out of range", "misaligned", "read-only", "uninitialised", "race", "not constant",
// "not awaited", "divergence", "configuration". The text describes the first of `count` occurrences
// at one place.
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
  uint32_t began = 0;          // on the session's clock
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

// Only one session may be open; launch() uses it. Kernels may access only its buffers, which begin
// at multiples of 256 bytes, like those of cudaMalloc, and live as long as the session.
class Session {
 public:
  // shared_limit: shared memory per block, by default that of sm_90. The seed determines the order
  // of blocks, and of a block's threads between two barriers.
  explicit Session(uint64_t seed, size_t shared_limit = 227 * 1024);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // A copy of data that kernels only read.
  const void* input(const std::string& name, const void* data, size_t bytes);
  // Memory that kernels may write, initialised to a copy of data, or to NaN in every float format.
  void* output(const std::string& name, size_t bytes, const void* data = nullptr);

  const std::vector<LaunchReport>& launches() const { return launches_; }

  // For tests of the checks: await_previous_kernel() at this file:line does nothing.
  static inline std::string skipped_await;

 private:
  friend class Launch;

  char* allocate(const std::string& name, size_t bytes, const void* data, bool writable);
  const std::string& kernel_at(uint32_t time) const;

  static Session* open_;

  uint64_t random_state_;
  size_t shared_limit_;
  uint32_t clock_ = 1;           // of the shadows
  uint32_t overlaps_since_ = 1;  // the beginning of the last launch that overlapped no other
  std::vector<Buffer> buffers_;
  std::vector<LaunchReport> launches_;
};

}  // namespace fnet::cuda_sim
