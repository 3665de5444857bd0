#include "cpu/tables_lock.h"

#include <pthread.h>

#include "cpu/api.h"
#include "cpu/caches.h"

namespace fnet {

constinit std::mutex tables_mutex;

namespace {

// The first call of each of these functions sets a static variable. Other threads wait for that as
// for a lock, so it must not be under way either.
void finish_first_calls() { active_kernels(), cpu_isas(), l2_bytes(), stream_bytes(); }

void take() {
  finish_first_calls();
  tables_mutex.lock();
}

void release() { tables_mutex.unlock(); }

[[maybe_unused]] const int registered = pthread_atfork(take, release, release);

}  // namespace
}  // namespace fnet
