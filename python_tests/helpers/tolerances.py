"""The tolerances of the tests."""

from __future__ import annotations

import torch

#: Error over the largest true value: about two roundings of the dtype at that value.
ROUNDINGS = {
    torch.float64: 1e-14,
    torch.float32: 1e-6,
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}
#: The error, in units in the last place, that torch is taken to make where it makes none (lengths
#: of 1 and 2); and the one number in a tensor that chance makes worst.
LEAST_ULPS, OUTLIER_ULPS = 0.1, 2.0
