// The threads that run in step.
#pragma once

namespace fnet {

inline constexpr int kWarp = 32;

}  // namespace fnet
