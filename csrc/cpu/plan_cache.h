// A cache of the tables of lengths, built once and shared.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace fnet {

template <class... Vector>
int64_t bytes_of(const Vector&... vectors) {
  return (int64_t(vectors.capacity() * sizeof(typename Vector::value_type)) + ... + 0);
}

// Keeps plans of 64 MB in total, or a single larger one. When full it is cleared; plans in use stay
// alive. Plan::bytes is what its tables take. Thread-safe.
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
    std::lock_guard<std::mutex> lock(mutex_);
    if (bytes_ + made->bytes > kMaxBytes) forget();
    const auto [place, is_new] = plans_.emplace(length, made);
    if (is_new) bytes_ += made->bytes;
    return place->second;
  }

  void clear() {
    std::lock_guard<std::mutex> lock(mutex_);
    forget();
  }

 private:
  static constexpr int64_t kMaxBytes = 64 << 20;

  void forget() { plans_.clear(), bytes_ = 0; }

  std::mutex mutex_;
  std::unordered_map<int64_t, std::shared_ptr<const Plan>> plans_;
  int64_t bytes_ = 0;
};

}  // namespace fnet
