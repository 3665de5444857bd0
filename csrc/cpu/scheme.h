// The choice of what lanes hold: the scheme that is estimated to be the fastest.
#pragma once

#include "cpu/api.h"

namespace fnet {

// The scheme for W lanes. It does not depend on the slots: schemes differ in the last bits.
Scheme scheme_of(const MixArgs& args, int width);

}  // namespace fnet
