"""No mixing at all."""

from __future__ import annotations

from torch import Tensor

from fnet_kernels.mixers.fixed import FixedMixer
from fnet_kernels.mixers.registry import register_mixer


@register_mixer("none")
class Identity(FixedMixer):
    """The identity times `gain`, which is 1 for "paper": FF-only of FNet (arXiv 2105.03824).

    Its sublayer is `LayerNorm(x + x)`, as in the authors' code.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("none", hidden_size=2, gain=0.5)(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[0.5000, 1.0000],
            [1.5000, 2.0000]])
    """

    name = "none"

    def number(self, x: Tensor) -> float:
        return 1.0 if isinstance(self.gain, str) else self.gain

    def transform(self, u: Tensor, gain: float) -> Tensor:
        return u.contiguous() * gain
