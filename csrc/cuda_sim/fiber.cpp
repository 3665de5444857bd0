#include "cuda_sim/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fnet::cuda_sim {

namespace {

// Large, because sanitizer builds have large frames; pages that are not touched cost nothing.
constexpr size_t kStackBytes = 256 * 1024, kGuardBytes = 4096;

}  // namespace

Fiber::Context Fiber::resumer_{};
Fiber* Fiber::running_ = nullptr;

Fiber::Fiber() {
  void* mapping = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mprotect(mapping, kGuardBytes, PROT_NONE);
  mapping_ = static_cast<char*>(mapping);
  context_.stack_bottom = mapping_ + kGuardBytes;
  context_.stack_bytes = kStackBytes;
}

Fiber::~Fiber() { munmap(mapping_, kGuardBytes + kStackBytes); }

#if defined(__x86_64__) && !defined(FNET_CUDA_SIM_UCONTEXT)

// Saves the callee-saved registers of the System V ABI, switches stacks, restores the registers.
extern "C" void fnet_switch_stacks(void** from, void* to);
asm(R"(
  .text
  .p2align 4
  .globl fnet_switch_stacks
  .hidden fnet_switch_stacks
  .type fnet_switch_stacks, @function
fnet_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size fnet_switch_stacks, .-fnet_switch_stacks
)");

#endif

void Fiber::start(Body body, void* argument) {
  body_ = body;
  argument_ = argument;
  char* bottom = mapping_ + kGuardBytes;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(bottom, kStackBytes);  // frames of an earlier body
  context_.fake_stack = nullptr;
#endif
#if defined(__x86_64__) && !defined(FNET_CUDA_SIM_UCONTEXT)
  // Six registers, entry() as the return address, and a null return address for entry(). After six
  // pops and ret the stack pointer is 8 below a multiple of 16, as after a call.
  void** top = reinterpret_cast<void**>(bottom + kStackBytes) - 8;
  for (int i = 0; i < 8; ++i) top[i] = nullptr;
  top[6] = reinterpret_cast<void*>(&Fiber::entry);
  context_.stack_pointer = top;
#else
  getcontext(&context_.registers);
  context_.registers.uc_stack.ss_sp = bottom;
  context_.registers.uc_stack.ss_size = kStackBytes;
  context_.registers.uc_link = nullptr;
  makecontext(&context_.registers, &Fiber::entry, 0);
#endif
}

void Fiber::enter(Context& from, Context& to, [[maybe_unused]] bool from_ends) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack, to.stack_bottom,
                                 to.stack_bytes);
#endif
#if defined(__x86_64__) && !defined(FNET_CUDA_SIM_UCONTEXT)
  fnet_switch_stacks(&from.stack_pointer, to.stack_pointer);
#else
  swapcontext(&from.registers, &to.registers);
#endif
#if defined(__SANITIZE_ADDRESS__)
  // Execution is back on `from`. A fiber records the stack of its resumer each time it resumes.
  const bool in_fiber = &from != &resumer_;
  __sanitizer_finish_switch_fiber(from.fake_stack, in_fiber ? &resumer_.stack_bottom : nullptr,
                                  in_fiber ? &resumer_.stack_bytes : nullptr);
#endif
}

void Fiber::entry() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &resumer_.stack_bottom, &resumer_.stack_bytes);
#endif
  Fiber* self = running_;
  self->body_(self->argument_);
  enter(self->context_, resumer_, true);
  abort();  // a finished fiber was resumed
}

void Fiber::resume() {
  running_ = this;
  enter(resumer_, context_, false);
  running_ = nullptr;
}

void Fiber::pause() { enter(running_->context_, resumer_, false); }

}  // namespace fnet::cuda_sim
