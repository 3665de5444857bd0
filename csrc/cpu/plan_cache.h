// A cache of the tables of lengths, built once and shared.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "cpu/tables_lock.h"

namespace fnet {

template <class... Vector>
int64_t bytes_of(const Vector&... vectors) {
  return (int64_t(vectors.capacity() * sizeof(typename Vector::value_type)) + ... + 0);
}

// Keeps the plans that were used last: of 96 MB in total, and the last two, which a call may need,
// if they are larger. Plans in use stay alive. Plan::bytes is what its tables take. Thread-safe.
// Never destroy one, because detached threads may outlive main(). Make it when the library is
// loaded: a fork during the first call would leave it half made in the child.
template <class Plan>
class PlanCache {
 public:
  // The kept plan of a length, or make(), which it keeps.
  template <class F>
  std::shared_ptr<const Plan> get(int64_t length, const F& make) {
    if (auto kept = find(length)) return kept;
    const std::shared_ptr<const Plan> made = make();  // without the lock, for other lengths
    if (auto kept = find(length)) return kept;        // another thread was faster
    std::lock_guard<std::mutex> lock(tables_mutex);
    while (plans_.size() > 1 && bytes_ + made->bytes > kMaxBytes) forget_oldest();
    if (plans_.emplace(length, Kept{made, ++calls_}).second) bytes_ += made->bytes;
    return made;
  }

  void clear() {
    std::lock_guard<std::mutex> lock(tables_mutex);
    plans_.clear(), bytes_ = 0;
  }

 private:
  struct Kept {
    std::shared_ptr<const Plan> plan;
    int64_t used;  // the call that used it last
  };
  static constexpr int64_t kMaxBytes = 96 << 20;

  std::shared_ptr<const Plan> find(int64_t length) {
    std::lock_guard<std::mutex> lock(tables_mutex);
    const auto found = plans_.find(length);
    if (found == plans_.end()) return nullptr;
    found->second.used = ++calls_;
    return found->second.plan;
  }

  void forget_oldest() {
    const auto oldest = std::min_element(plans_.begin(), plans_.end(), [](auto& a, auto& b) {
      return a.second.used < b.second.used;
    });
    bytes_ -= oldest->second.plan->bytes;
    plans_.erase(oldest);
  }

  std::unordered_map<int64_t, Kept> plans_;
  int64_t bytes_ = 0, calls_ = 0;
};

}  // namespace fnet
