// Selects the instruction set: the best one of the machine, or the requested one.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "cpu/kernels.h"

namespace fnet {
namespace {

// FNET_WITHOUT_AVX512, FNET_WITHOUT_AVX2: this build has no such kernels.
#if defined(__x86_64__) && !defined(FNET_WITHOUT_AVX2)
#define FNET_HAS_AVX2
#endif
#if defined(FNET_HAS_AVX2) && !defined(FNET_WITHOUT_AVX512)
#define FNET_HAS_AVX512
#endif

#if defined(FNET_HAS_AVX2)
// Half-precision conversions, which __builtin_cpu_supports of older compilers cannot test.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

// Calls accept() with each table that this machine can run, best first, until it returns true.
template <class F>
bool each_candidate(const F& accept) {
#if defined(FNET_HAS_AVX2)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
#if defined(FNET_HAS_AVX512)
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512 && accept(avx512_kernels())) return true;
#endif
  if (avx2 && accept(avx2_kernels())) return true;
#endif
#if defined(__aarch64__)
  if ((getauxval(AT_HWCAP2) & HWCAP2_BF16) && accept(neon_bf16_kernels())) return true;
  return accept(neon_kernels());
#else
  return accept(portable_kernels());
#endif
}

const Kernels* find_kernels(const char* name) {
  const Kernels* found = nullptr;
  each_candidate([&](const Kernels& kernels) {
    if (strcmp(name, "auto") == 0 || strcmp(name, kernels.name) == 0) found = &kernels;
    return found != nullptr;
  });
  return found;
}

// The environment variable FNET_CPU_ISA sets the initial choice; empty means unset.
const Kernels* initial_choice() {
  const char* requested = std::getenv("FNET_CPU_ISA");
  const Kernels* best = find_kernels("auto");
  if (!requested || !*requested) return best;
  if (const Kernels* found = find_kernels(requested)) return found;
  std::fprintf(stderr, "fnet_kernels: FNET_CPU_ISA: expected auto or one of %s, got %s; using %s\n",
               cpu_isas(), requested, best->name);
  return best;
}

std::atomic<const Kernels*>& chosen() {
  static std::atomic<const Kernels*> kernels = initial_choice();
  return kernels;
}

}  // namespace

const Kernels& active_kernels() { return *chosen().load(std::memory_order_relaxed); }

const char* cpu_isa() { return active_kernels().name; }

const char* cpu_isas() {
  static const std::string names = [] {
    std::string list;
    each_candidate([&](const Kernels& kernels) {
      list.append(list.empty() ? "" : ",").append(kernels.name);
      return false;
    });
    return list;
  }();
  return names.c_str();
}

bool set_cpu_isa(const char* name) {
  const Kernels* found = find_kernels(name);
  if (found) chosen().store(found, std::memory_order_relaxed);
  return found != nullptr;
}

}  // namespace fnet
