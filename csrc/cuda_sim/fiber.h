// Fibers, each of which runs one kernel thread. On x86-64 a switch takes a dozen instructions; on
// other processors it is swapcontext, which makes a system call each time.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || defined(FNET_CUDA_SIM_UCONTEXT)
#include <ucontext.h>
#endif

namespace fnet::cuda_sim {

class Fiber {
 public:
  using Body = void (*)(void*);

  Fiber();  // maps a stack with a guard page below it
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the next resume() run body(context) from its beginning. Frames of an earlier body are
  // discarded without running destructors.
  void start(Body body, void* context);

  // Runs this fiber until it calls pause() or its body returns. Must not be called within a fiber.
  void resume();
  // Returns to the caller of resume(). Must be called within a fiber.
  static void pause();

 private:
  struct Context {
#if defined(__x86_64__) && !defined(FNET_CUDA_SIM_UCONTEXT)
    void* stack_pointer;
#else
    ucontext_t registers;
#endif
    // Arguments of the address sanitizer at each switch; unused without it.
    const void* stack_bottom;
    size_t stack_bytes;
    void* fake_stack;
  };

  static void entry();
  static void enter(Context& from, Context& to, bool from_ends);

  static Context resumer_;
  static Fiber* running_;

  Context context_{};
  char* mapping_ = nullptr;
  Body body_ = nullptr;
  void* argument_ = nullptr;
};

}  // namespace fnet::cuda_sim
