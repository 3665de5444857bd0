// How large the caches are, as the processor says.
#pragma once

#include <cstdint>

namespace fnet {

int64_t second_cache_bytes();  // 1 MB where it does not say
int64_t last_cache_bytes();    // 0 where it does not

}  // namespace fnet
