"""What the mixers without parameters have in common."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from fnet_kernels._ops.autograd import compute
from fnet_kernels._ops.checks import autocasting
from fnet_kernels.mixers.checks import checked
from fnet_kernels.mixers.gain import Gain, transform_gain


class FixedMixer(nn.Module):
    """A linear map without parameters; a subclass defines `transform` and `name`.

    16-bit inputs are computed in float32 and rounded once. As from `torch.fft`, the output under
    `torch.autocast` is float32 for them.

    Args:
        hidden_size: length of the last axis.
        seq_len: ignored; a subclass may check it.
        gain: `"paper"` or a number, see `create_mixer`.

    Shape: input and output are `[..., seq, hidden_size]` and have the same dtype, except under
    autocast. The output is contiguous; for an empty input it is empty.

    Raises:
        TypeError: in `forward`, the input is no dense tensor of a supported dtype.
        ValueError: in `forward`, the input has fewer than two axes or another hidden size.
    """

    name: str

    def __init__(
        self, hidden_size: int, seq_len: int | None = None, *, gain: Gain = "paper"
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.gain = gain

    def transform(self, u: Tensor, gain: float) -> Tensor:
        """Return `gain` times the orthonormal transform of `u`, which is float32 or float64."""
        raise NotImplementedError

    def number(self, x: Tensor) -> float:
        """Return what multiplies the orthonormal transform of `x`."""
        return transform_gain(self.gain, x)

    def forward(self, x: Tensor) -> Tensor:
        x = checked(self.name, x, self.hidden_size)
        if x.numel() == 0:
            return x.clone()
        # Autocast would round the factors of matrix products to 16 bits.
        exact = torch.autocast(x.device.type, enabled=False) if autocasting(x) else nullcontext()
        with exact:
            return self.transform(compute(x), self.number(x)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.hidden_size}, gain={self.gain!r}"
