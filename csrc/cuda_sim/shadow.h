// The last accesses to memory: finds two accesses of the same bytes, one of them a write, that no
// barrier orders, whatever the order in which the threads ran.
//
// Time is counted in phases: it advances whenever a barrier lets threads go. An access made at time
// t happened before one by thread u if a barrier that u passed let go at a time > t: one of u's
// whole block, or, if the earlier one was by u's warp, one of that warp. Of another block's
// accesses those happened before that it made before it announced a flag, if u passed a barrier
// since its block awaited it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

namespace fnet::cuda_sim {

// What a block has done that another has awaited: times [from, to), awaited at time `since`.
struct Acquired {
  uint32_t from, to, since;
};

// When and by whom an access is made.
struct Moment {
  uint32_t now, launch_began, block_began, block_synced, warp_synced;
  uint16_t thread;
  uint16_t site;  // passed through, for messages
  std::span<const Acquired> acquired;
};

class Shadow {
 public:
  // kNotConstant: read as constant and written by one launch, in whatever order.
  enum class Fault { kNone, kRace, kUninitialised, kNotConstant };
  struct Finding {
    Fault fault = Fault::kNone;
    uint16_t other_site = 0;  // of a race
    uint16_t other_thread = 0;
  };

  // Shared memory is new to each block; global memory is one for all blocks of a launch.
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
  // Threads from here on stand for several.
  static constexpr uint16_t kWarpOfMany = 1024, kManyWarps = 2048, kManyBlocks = 2049;

  struct Mark {
    uint32_t time;
    uint16_t thread, site;
  };
  struct Granule {
    Mark write, read;
    uint32_t constant;  // when it was last read as such
  };
  struct Free {
    void operator()(void* p) const { free(p); }
  };

  bool forgotten(const Mark& mark, const Moment& m) const {
    return mark.time < (per_block_ ? m.block_began : m.launch_began);
  }
  bool of_other_block(const Mark& mark, const Moment& m) const {
    return mark.thread == kManyBlocks || mark.time < m.block_began;
  }
  static bool acquired(uint32_t time, const Moment& m) {
    for (const Acquired& a : m.acquired)
      if (a.from <= time && time < a.to && a.since < m.block_synced) return true;
    return false;
  }
  static bool of_warp(const Mark& mark, int warp) {
    return one_thread(mark.thread) ? mark.thread / 32 == warp : mark.thread == kWarpOfMany + warp;
  }

  bool ordered(const Mark& mark, const Moment& m) const {
    if (forgotten(mark, m)) return true;
    if (of_other_block(mark, m)) return mark.thread != kManyBlocks && acquired(mark.time, m);
    return mark.time < m.block_synced || mark.thread == m.thread ||
           (mark.time < m.warp_synced && of_warp(mark, m.thread / 32));
  }

  Finding read(Granule& g, const Moment& m) const {
    Finding found;
    if (per_block_ && forgotten(g.write, m)) found.fault = Fault::kUninitialised;
    if (!ordered(g.write, m)) found = {Fault::kRace, g.write.site, g.write.thread};
    Mark mark = {m.now, m.thread, m.site};
    if (!forgotten(g.read, m) && of_other_block(g.read, m))
      mark.thread = kManyBlocks;
    else if (!ordered(g.read, m))
      mark.thread = of_warp(g.read, m.thread / 32) ? kWarpOfMany + m.thread / 32 : kManyWarps;
    g.read = mark;
    return found;
  }

  Finding written(Granule& g, const Moment& m) const {
    Finding found;
    for (const Mark& mark : {g.write, g.read})
      if (!ordered(mark, m)) found = {Fault::kRace, mark.site, mark.thread};
    g = {{m.now, m.thread, m.site}, {}, 0};
    return found;
  }

  bool per_block_;
  std::unique_ptr<Granule, Free> granules_;
};

}  // namespace fnet::cuda_sim
