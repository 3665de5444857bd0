// Records the last accesses to memory and finds data races: two accesses of the same bytes, one of
// them a write, that no barrier orders. The result does not depend on the order of execution.
//
// Time is a number of phases: it advances whenever a barrier releases threads. An access at time t
// happened before an access of thread u if u passed a barrier that was released after t: a barrier
// of its block, or one of its warp if the earlier access was by that warp. Nothing orders the
// blocks of a launch. Launches are ordered, but for those that a thread has not awaited.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace fnet::cuda_sim {

// The time and the thread of an access. Launches from `overlaps_since` on may still run beside it.
struct Moment {
  uint32_t now, overlaps_since, launch_began, block_began, block_synced, warp_synced;
  uint16_t thread;
  uint16_t site;  // for messages
};

class Shadow {
 public:
  // kNotAwaited: an earlier launch, which may still run, uses the data.
  // kNotConstant: one launch reads the data as constant and also writes it, in any order.
  enum class Fault { kNone, kRace, kNotAwaited, kUninitialised, kNotConstant };
  // The other access of a race, or of an earlier launch.
  struct Finding {
    Fault fault = Fault::kNone;
    uint32_t other_time = 0;
    uint16_t other_thread = 0, other_site = 0;
  };

  // Each block has new shared memory (per_block); all blocks of a launch share global memory.
  Shadow(size_t bytes, bool per_block)
      : per_block_(per_block),
        granules_(static_cast<Granule*>(calloc(bytes / kGranule + 1, sizeof(Granule)))) {}

  Finding touch(size_t offset, int bytes, bool write, bool constant, const Moment& moment) {
    Finding found;
    for (size_t g = offset / kGranule; g < (offset + bytes) / kGranule; ++g) {
      Granule& granule = granules_.get()[g];
      const bool changes = write ? granule.constant >= moment.launch_began
                                 : constant && granule.write.time >= moment.launch_began;
      if (constant) granule.constant = moment.now;
      Finding one = write ? written(granule, moment) : read(granule, moment);
      if (changes) one.fault = Fault::kNotConstant;
      if (one.fault > found.fault) found = one;
    }
    return found;
  }

  static bool one_thread(uint16_t thread) { return thread < kWarpOfMany; }

 private:
  static constexpr size_t kGranule = 2;  // the narrowest access
  // Thread numbers from this one on stand for several threads.
  static constexpr uint16_t kWarpOfMany = 1024, kManyWarps = 2048, kManyBlocks = 2049;

  struct Mark {
    uint32_t time;
    uint16_t thread, site;
  };
  struct Granule {
    Mark write, read;
    uint32_t read_before;  // the time of the last read by a launch before that of `read`
    uint32_t constant;     // the time of the last constant read
  };
  struct Free {
    void operator()(void* p) const { free(p); }
  };

  bool expired(const Mark& mark, const Moment& m) const {
    return mark.time < (per_block_ ? m.block_began : m.launch_began);
  }
  bool of_other_block(const Mark& mark, const Moment& m) const {
    return mark.thread == kManyBlocks || mark.time < m.block_began;
  }
  static bool of_warp(const Mark& mark, int warp) {
    return one_thread(mark.thread) ? mark.thread / 32 == warp : mark.thread == kWarpOfMany + warp;
  }

  static bool may_still_run(uint32_t time, const Moment& m) {
    return m.overlaps_since <= time && time < m.launch_began;
  }

  bool ordered(const Mark& mark, const Moment& m) const {
    if (expired(mark, m)) return true;
    if (of_other_block(mark, m)) return false;
    return mark.time < m.block_synced || mark.thread == m.thread ||
           (mark.time < m.warp_synced && of_warp(mark, m.thread / 32));
  }

  static Finding race(const Mark& mark) {
    return {Fault::kRace, mark.time, mark.thread, mark.site};
  }

  Finding read(Granule& g, const Moment& m) const {
    Finding found;
    if (per_block_ && expired(g.write, m)) found.fault = Fault::kUninitialised;
    if (!ordered(g.write, m)) found = race(g.write);
    if (may_still_run(g.write.time, m)) found = {Fault::kNotAwaited, g.write.time};
    if (g.read.time < m.launch_began) g.read_before = g.read.time;
    Mark mark = {m.now, m.thread, m.site};
    if (!expired(g.read, m) && of_other_block(g.read, m))
      mark.thread = kManyBlocks;
    else if (!ordered(g.read, m))
      mark.thread = of_warp(g.read, m.thread / 32) ? kWarpOfMany + m.thread / 32 : kManyWarps;
    g.read = mark;
    return found;
  }

  Finding written(Granule& g, const Moment& m) const {
    Finding found;
    for (const Mark& mark : {g.write, g.read})
      if (!ordered(mark, m)) found = race(mark);
    for (const uint32_t time : {g.write.time, g.read.time, g.read_before})
      if (may_still_run(time, m)) found = {Fault::kNotAwaited, time};
    g = {{m.now, m.thread, m.site}, {}, 0, 0};
    return found;
  }

  bool per_block_;
  std::unique_ptr<Granule, Free> granules_;
};

}  // namespace fnet::cuda_sim
