// The lock of all tables that calls share.
//
// A child of fork() has the memory of its parent, but only the thread that forks: a mutex that
// another thread holds stays locked in the child for ever. fork() therefore takes this one, and
// parent and child release it. One mutex suffices, because tables are computed without it.
#pragma once

#include <mutex>

namespace fnet {

extern std::mutex tables_mutex;

}  // namespace fnet
