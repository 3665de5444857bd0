// The sizes of the caches, as the processor reports them.
#pragma once

#include <cstdint>

namespace fnet {

int64_t l2_bytes();          // 1 MB if the processor does not report it
int64_t last_level_bytes();  // 0 if it does not

}  // namespace fnet
