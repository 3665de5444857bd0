// The size of a warp.
#pragma once

namespace fnet {

inline constexpr int kWarp = 32;

}  // namespace fnet
