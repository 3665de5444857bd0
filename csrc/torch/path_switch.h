// The switch behind set_cpu_path and set_cuda_path, for tests and comparisons.
#pragma once

#include <atomic>
#include <string>

#include "core/args.h"
#include "torch/errors.h"

namespace fnet::binding {

class PathSwitch {
 public:
  void set(const char* op, const std::string& path) {
    require(path == "auto" || path == "general" || path == "runs", op,
            ": expected auto, general or runs, got ", path);
    general_only_.store(path == "general", std::memory_order_relaxed);
    runs_.store(path == "runs", std::memory_order_relaxed);
  }

  bool general() const { return general_only_.load(std::memory_order_relaxed); }
  // Whether sequences of different lengths run as on CUDA.
  bool runs() const { return runs_.load(std::memory_order_relaxed); }

  // The plan, or the general path if this switch forces it.
  template <class Plan>
  Plan apply(Plan plan) const {
    if (plan.path == Path::kKernels && general()) {
      plan.path = Path::kGeneral;
      plan.reason = Reason::kForced;
    }
    return plan;
  }

 private:
  std::atomic<bool> general_only_ = false, runs_ = false;
};

}  // namespace fnet::binding
