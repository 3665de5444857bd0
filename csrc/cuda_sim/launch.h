// Runs the blocks of a kernel one after another in random order, each thread as a fiber. Kernels
// run one after another too, but a thread of a kernel launched with `overlaps` may not access what
// earlier kernels use until it has awaited them. It must await them before it ends, so that the end
// of a kernel implies the end of all before it.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "cuda_sim/audit.h"
#include "cuda_sim/fiber.h"
#include "cuda_sim/session.h"

namespace fnet {

// As in CUDA, for the running fiber.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cuda_sim {

// kConstantRead asserts that no thread writes the data while the kernel runs.
enum class Touch { kRead, kConstantRead, kWrite };

class Launch {
 public:
  // Returns whether the kernel ran without errors.
  static bool run(const LaunchConfig& config, Fiber::Body kernel, void* arguments);
  static Launch& current() { return *current_; }

  // Kernel threads call these. access() returns false if the access is not allowed.
  bool access(bool shared, const void* p, int bytes, Touch touch, const Place& place);
  // Lets kernels read constants of the program from now on.
  void add_constants(const char* name, const void* p, size_t bytes);
  void sync_threads(const Place& place) { wait(Wait::kBlock, place); }
  void sync_warp(const Place& place) { wait(Wait::kWarp, place); }
  void await_previous_kernel(const Place& place);
  uint64_t shuffle(uint64_t value, int source_lane, const Place& place);
  int warp_lane() const { return thread_ % 32; }
  unsigned char* shared_base() { return reinterpret_cast<unsigned char*>(shared_.data); }

 private:
  enum class Wait { kNothing, kShuffle, kWarp, kBlock, kEnded };
  struct Thread {
    Wait wait = Wait::kNothing;
    Place place;
    // Two values, used alternately, because a thread may be one shuffle ahead of threads that still
    // read its last value.
    uint64_t offered[2] = {};
    unsigned shuffles = 0;
    bool awaited = false;  // the previous kernel
  };

  Launch(Session& session, const LaunchConfig& config, Fiber::Body kernel, void* arguments);

  bool overlaps() const { return session_.overlaps_since_ < report_.began; }
  bool acceptable();
  void run_block(unsigned block);
  void end_thread();
  void wait(Wait wait, const Place& place);
  bool release();
  bool meet(int first, int count) const;
  void report_divergence();
  std::string describe(int thread) const;
  void error(const char* kind, const std::string& where, const std::string& text);
  void shuffle_order(std::vector<unsigned>& order);
  uint64_t random();

  static Launch* current_;

  Session& session_;
  LaunchReport report_;
  Fiber::Body kernel_;
  void* arguments_;
  int threads_count_;
  Audit audit_;
  std::unique_ptr<char, void (*)(void*)> arena_;
  Buffer shared_;
  std::vector<Thread> threads_;
  std::vector<unsigned> ready_;
  std::vector<uint32_t> warp_synced_;
  uint32_t block_began_ = 0, block_synced_ = 0;
  int thread_ = 0;
  bool stuck_ = false;
  std::map<std::pair<std::string, std::string>, size_t> error_index_;
};

}  // namespace cuda_sim
}  // namespace fnet
