// Fibers: one kernel thread each, switched by hand. On x86-64 a switch is a dozen instructions;
// elsewhere it is swapcontext, which makes a system call each time.
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

  // The next resume() runs body(context) from its beginning, whatever this fiber did before: what
  // is left on its stack is dropped without running destructors.
  void start(Body body, void* context);

  // Runs this fiber until it calls pause() or its body returns. Not from within a fiber.
  void resume();
  // Back to resume()'s caller. From within a fiber only.
  static void pause();

 private:
  struct Context {
#if defined(__x86_64__) && !defined(FNET_CUDA_SIM_UCONTEXT)
    void* stack_pointer;
#else
    ucontext_t registers;
#endif
    // What the address sanitizer wants to know at each switch; unused without it.
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
