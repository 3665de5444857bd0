// The lock of all tables that calls share.
//
// A forked child has the memory of its parent, but only the thread that forked: a mutex that
// another thread holds stays locked in the child for ever. A fork therefore takes this one, and
// parent and child release it. One mutex suffices, because tables are computed without it.
#pragma once

#include <mutex>

namespace fnet {

extern std::mutex tables_mutex;

}  // namespace fnet
