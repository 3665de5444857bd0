#include "torch/errors.h"

// Exported by torch 2.12 and later, as the stable ABI's own checks use it; null otherwise.
extern "C" __attribute__((weak)) const char* torch_exception_get_what_without_backtrace();

namespace fnet::binding {

std::string torch_message() {
  const char* said = torch_exception_get_what_without_backtrace
                         ? torch_exception_get_what_without_backtrace()
                         : nullptr;
  return said ? said : "";
}

void fail_out_of_memory(size_t bytes) {
  fail("DefaultCPUAllocator: can't allocate memory: you tried to allocate ", bytes,
       " bytes. Error code 12 (Cannot allocate memory)");
}

}  // namespace fnet::binding
