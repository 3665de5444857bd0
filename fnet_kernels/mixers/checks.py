"""The check that mixers have in common.

defines: checked
"""

from __future__ import annotations

from torch import Tensor

from fnet_kernels._ops.checks import check_x, kind


def checked(mixer: str, x: Tensor, hidden_size: int) -> Tensor:
    """Return `x` after checking it; under autocast in at least float32."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{mixer}: x must be a torch.Tensor, got {kind(x)}")
    x = check_x(mixer, x)
    if x.size(-1) != hidden_size:
        raise ValueError(
            f"{mixer}: x must have shape [..., seq, {hidden_size}]; got shape {tuple(x.shape)}"
        )
    return x
