// A cache of the tables of lengths, built once and shared.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace fnet {

// Keeps plans of 2^22 points in total, about 100 MB, more than any model uses. When full it is
// cleared; plans in use stay alive. Thread-safe.
template <class Plan>
class PlanCache {
 public:
  // The kept plan of a length, or make(), which it keeps.
  template <class F>
  std::shared_ptr<const Plan> get(int64_t length, const F& make) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto found = plans_.find(length);
      if (found != plans_.end()) return found->second;
    }
    const std::shared_ptr<const Plan> made = make();  // without the lock, for other lengths
    if (length > kMaxPoints) return made;
    std::lock_guard<std::mutex> lock(mutex_);
    if (points_ + length > kMaxPoints) forget();
    const auto [place, is_new] = plans_.emplace(length, made);
    if (is_new) points_ += length;
    return place->second;
  }

  void clear() {
    std::lock_guard<std::mutex> lock(mutex_);
    forget();
  }

 private:
  static constexpr int64_t kMaxPoints = 1 << 22;

  void forget() { plans_.clear(), points_ = 0; }

  std::mutex mutex_;
  std::unordered_map<int64_t, std::shared_ptr<const Plan>> plans_;
  int64_t points_ = 0;
};

}  // namespace fnet
