// Preloaded by test_out_of_memory.py. The n-th allocation after fail_at(n) fails: of
// posix_memalign, which torch's CPU allocator and our workspace call, and of operator new in our
// extension.
#include <dlfcn.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {
std::atomic<long> counted = 0, failing = -1;
std::atomic<bool> counting = false;

bool fails() { return counting && counted++ == failing; }
}  // namespace

extern "C" void fail_at(long n) { counted = 0, failing = n, counting = true; }

extern "C" long stop_counting() {
  counting = false;
  return counted;
}

extern "C" int posix_memalign(void** out, size_t alignment, size_t size) noexcept {
  if (fails()) return ENOMEM;
  *out = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  return *out ? 0 : ENOMEM;
}

void* operator new(size_t size) {
  Dl_info caller;
  if (counting && dladdr(__builtin_return_address(0), &caller) && caller.dli_fname &&
      std::strstr(caller.dli_fname, "/fnet_kernels/") && fails())
    throw std::bad_alloc();
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
