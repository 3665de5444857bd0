// The choice of what lanes hold: the scheme that is estimated to be the fastest.
#pragma once

#include "cpu/kernels.h"

namespace fnet {

// It does not depend on the slots: schemes differ in the last bits.
Scheme scheme_of(const MixArgs& args, const Kernels& kernels);

}  // namespace fnet
