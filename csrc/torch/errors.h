// Errors that reach Python: in our words or in torch's, never with a path of the build machine.
//
// The stable ABI turns an exception of torch into an error code, and the check of that code throws
// the source line of torch's header. In a call that failed for lack of memory, batch-size finders
// look for the allocator's sentence, so `guarded` puts torch's own message back.
#pragma once

#include <cstddef>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>

namespace fnet::binding {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(text.str());
}

template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(parts...);
}

// What torch said when the last call of this thread into it failed; empty if this torch does not
// tell (before 2.12).
std::string torch_message();

// The sentence of torch's CPU allocator.
[[noreturn]] void fail_out_of_memory(size_t bytes);

// Runs an op and rethrows, as an Error, what is not one yet.
template <auto Op>
struct Guarded;

template <class Result, class... Args, Result (*Op)(Args...)>
struct Guarded<Op> {
  static Result call(Args... args) {
    try {
      return Op(std::move(args)...);
    } catch (const Error&) {
      throw;
    } catch (const std::bad_alloc&) {
      fail(
          "DefaultCPUAllocator: can't allocate memory: fnet_kernels could not allocate its tables");
    } catch (const std::exception&) {
      const std::string said = torch_message();
      fail(said.empty() ? "fnet_kernels: an operation of torch failed, most likely out of memory."
                        : said);
    }
  }
};

}  // namespace fnet::binding
