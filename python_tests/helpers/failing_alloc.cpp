// Preloaded by test_out_of_memory.py. The n-th allocation after fail_at(n) fails: of
// posix_memalign, which torch's CPU allocator calls, and of mmap and operator new in our extension.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {
std::atomic<long> counted = 0, failing = -1;
std::atomic<bool> counting = false;

bool fails() { return counting && counted++ == failing; }

bool ours(void* caller) {
  Dl_info found;
  return dladdr(caller, &found) && found.dli_fname &&
         std::strstr(found.dli_fname, "/fnet_kernels/");
}
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

extern "C" void* mmap(void* at, size_t size, int access, int flags, int file, off_t start) noexcept {
  if (counting && ours(__builtin_return_address(0)) && fails()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(syscall(SYS_mmap, at, size, access, flags, file, start));
}

void* operator new(size_t size) {
  if (counting && ours(__builtin_return_address(0)) && fails()) throw std::bad_alloc();
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
