#include "cuda_sim/launch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

namespace fnet::cuda_sim {

namespace {

std::string text_of(const dim3& d) {
  return std::string("(") + std::to_string(d.x) + "," + std::to_string(d.y) + "," +
         std::to_string(d.z) + ")";
}

bool same(const Place& a, const Place& b) {
  return a.file_name() == b.file_name() && a.line() == b.line() && a.column() == b.column();
}

char* shared_arena(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes ? bytes : 1)) throw std::bad_alloc();
  return static_cast<char*>(memory);
}

// Later launches reuse the fibers, because mapping stacks is expensive.
Fiber& fiber(size_t i) {
  static std::vector<std::unique_ptr<Fiber>> pool;
  while (pool.size() <= i) pool.push_back(std::make_unique<Fiber>());
  return *pool[i];
}

}  // namespace

Launch* Launch::current_ = nullptr;

bool Launch::run(const LaunchConfig& config, Fiber::Body kernel, void* arguments) {
  if (!Session::open_) return false;
  Session& session = *Session::open_;
  Launch launch(session, config, kernel, arguments);
  if (launch.acceptable()) {
    current_ = &launch;
    blockDim = config.block;
    gridDim = config.grid;
    std::vector<unsigned> blocks(config.grid.x * config.grid.y * config.grid.z);
    std::iota(blocks.begin(), blocks.end(), 0u);
    launch.shuffle_order(blocks);
    for (const unsigned block : blocks)
      if (!launch.stuck_) launch.run_block(block);
    current_ = nullptr;
  }
  for (const Audit::Site& s : launch.audit_.sites())
    launch.report_.accesses.push_back(
        {text_of(s.place), s.buffer ? session.buffers_[s.buffer - 1].name : "shared", s.write,
         s.width, s.requests, s.bytes, s.transactions, s.ideal});
  session.launches_.push_back(std::move(launch.report_));
  return session.launches_.back().errors.empty();
}

Launch::Launch(Session& session, const LaunchConfig& config, Fiber::Body kernel, void* arguments)
    : session_(session),
      report_{config.name, config.grid, config.block, config.shared_bytes, 0, 0, 0, {}, {}},
      kernel_(kernel),
      arguments_(arguments),
      threads_count_(int(config.block.x * config.block.y * config.block.z)),
      audit_(threads_count_),
      arena_(shared_arena(config.shared_bytes), free),
      shared_{"shared", arena_.get(), config.shared_bytes, true, {config.shared_bytes, true}},
      threads_(threads_count_),
      warp_synced_(threads_count_ / 32) {
  report_.began = ++session.clock_;
  if (!config.overlaps) session.overlaps_since_ = report_.began;
}

bool Launch::acceptable() {
  const dim3 grid = report_.grid;
  const char* reason = nullptr;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) reason = "the grid is empty";
  if (grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) reason = "the grid is too large";
  if (threads_count_ == 0 || threads_count_ > 1024) reason = "a block has 1 to 1024 threads";
  if (threads_count_ % 32) reason = "a block has whole warps";
  if (overlaps() && session_.launches_.empty()) reason = "no kernel of the call to overlap";
  if (reason) error("configuration", "", reason);
  if (report_.shared_bytes > session_.shared_limit_)
    error("configuration", "",
          "a block has " + std::to_string(session_.shared_limit_) +
              " bytes of shared memory, not " + std::to_string(report_.shared_bytes));
  return report_.errors.empty();
}

void Launch::run_block(unsigned block) {
  blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y, block / gridDim.x / gridDim.y};
  block_began_ = block_synced_ = ++session_.clock_;
  memset(shared_.data, 0xff, shared_.bytes);  // NaN in every float format
  ready_.resize(threads_count_);
  for (int t = 0; t < threads_count_; ++t) {
    threads_[t] = {};
    ready_[t] = t;
    fiber(t).start(
        [](void* self) {
          auto& launch = *static_cast<Launch*>(self);
          launch.kernel_(launch.arguments_);
          launch.end_thread();
        },
        this);
  }
  do {
    shuffle_order(ready_);
    for (const unsigned t : ready_) {
      thread_ = int(t);
      threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
      fiber(t).resume();
    }
  } while (release());
}

void Launch::await_previous_kernel(const Place& place) {
  const std::string& skipped = Session::skipped_await;
  if (skipped.empty() || !cuda_sim::text_of(place).starts_with(skipped + ":"))
    threads_[thread_].awaited = true;
}

void Launch::end_thread() {
  threads_[thread_].wait = Wait::kEnded;
  if (overlaps() && !threads_[thread_].awaited)
    error("not awaited", "", "ends without awaiting the previous kernel");
}

void Launch::wait(Wait wait, const Place& place) {
  threads_[thread_].wait = wait;
  threads_[thread_].place = place;
  Fiber::pause();
}

// Called when every thread waits or has ended. Makes the threads ready whose barrier or shuffle is
// complete; returns false if there are none.
bool Launch::release() {
  ready_.clear();
  ++session_.clock_;
  const auto go = [&](int first, int count) {
    for (int t = first; t < first + count; ++t) ready_.push_back(t);
  };
  for (int first = 0; first < threads_count_; first += 32) {
    const Wait wait = threads_[first].wait;
    if (wait != Wait::kShuffle && wait != Wait::kWarp) continue;
    if (!meet(first, 32)) continue;
    audit_.settle(first / 32);
    ++report_.warp_barriers;
    if (wait == Wait::kWarp) warp_synced_[first / 32] = session_.clock_;
    go(first, 32);
  }
  if (!ready_.empty()) return true;

  const Wait wait = threads_[0].wait;
  const bool all = meet(0, threads_count_);
  for (int warp = 0; warp < threads_count_ / 32; ++warp) audit_.settle(warp);
  if (all && wait == Wait::kEnded) return false;
  if (!all || wait != Wait::kBlock) {
    report_divergence();
    return false;
  }
  ++report_.barriers;
  block_synced_ = session_.clock_;
  go(0, threads_count_);
  return true;
}

// Whether all these threads wait at the same place, or have all ended.
bool Launch::meet(int first, int count) const {
  const Thread& one = threads_[first];
  return std::all_of(&one, &one + count, [&](const Thread& t) {
    return t.wait == one.wait && (one.wait == Wait::kEnded || same(t.place, one.place));
  });
}

void Launch::report_divergence() {
  stuck_ = true;
  // If a warp waits for some of its threads, that is the cause; otherwise a block does.
  const auto is_warps = [](const Thread& t) {
    return t.wait == Wait::kShuffle || t.wait == Wait::kWarp;
  };
  const auto is_blocks = [](const Thread& t) { return t.wait == Wait::kBlock; };
  auto waiting = std::find_if(threads_.begin(), threads_.end(), is_warps);
  auto first = threads_.begin(), last = threads_.end();
  if (waiting != last) {
    first += (waiting - first) / 32 * 32;
    last = first + 32;
  } else {
    waiting = std::find_if(first, last, is_blocks);
  }
  const auto other = std::find_if(first, last, [&](const Thread& t) {
    return t.wait != waiting->wait || !same(t.place, waiting->place);
  });
  thread_ = int(waiting - threads_.begin());
  error("divergence", cuda_sim::text_of(waiting->place),
        describe(thread_) + " while thread " + std::to_string(other - threads_.begin()) + " " +
            describe(int(other - threads_.begin())));
}

std::string Launch::describe(int thread) const {
  const Thread& t = threads_[thread];
  const char* what[] = {"runs", "waits in a shuffle", "waits in sync_warp", "waits in sync_threads",
                        "has ended"};
  return what[int(t.wait)] + (t.wait == Wait::kEnded ? "" : " at " + cuda_sim::text_of(t.place));
}

uint64_t Launch::shuffle(uint64_t value, int source_lane, const Place& place) {
  const int me = thread_, parity = threads_[me].shuffles++ % 2;
  threads_[me].offered[parity] = value;
  wait(Wait::kShuffle, place);
  return threads_[me / 32 * 32 + source_lane].offered[parity];
}

void Launch::error(const char* kind, const std::string& where, const std::string& text) {
  const auto [entry, is_new] = error_index_.try_emplace({kind, where}, report_.errors.size());
  if (is_new)
    report_.errors.push_back({kind, where,
                              report_.kernel + " block " + text_of(blockIdx) + " thread " +
                                  std::to_string(thread_) + ": " + text,
                              0});
  ++report_.errors[entry->second].count;
}

void Launch::shuffle_order(std::vector<unsigned>& order) {
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
}

// splitmix64
uint64_t Launch::random() {
  uint64_t z = session_.random_state_ += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

}  // namespace fnet::cuda_sim
