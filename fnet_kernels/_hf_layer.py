"""The patched layer of `transformers`. Importing this module imports `transformers`.

A layer is patched by changing its class, not its `forward` attribute: copies, pickles, hooks and
`torch.compile` then see an ordinary module, and unpatching restores it exactly.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from fnet_kernels.ops import fused_fourier_mix

try:
    from transformers.models.fnet.modeling_fnet import FNetFourierTransform
except ModuleNotFoundError as error:
    raise ImportError(
        "fnet_kernels.hf needs Hugging Face transformers: run `pip install transformers`"
    ) from error

__all__ = [
    "FNetFourierTransform",
    "FusedFNetFourierTransform",
    "is_fused",
    "reason_to_leave_alone",
]


class FusedFNetFourierTransform(FNetFourierTransform):
    """`FNetFourierTransform` through the fused operator; its submodules hold the parameters."""

    def forward(self, hidden_states: Tensor) -> tuple[Tensor]:
        norm = self.output.LayerNorm
        return (fused_fourier_mix(hidden_states, norm.weight, norm.bias, norm.eps),)


def is_fused(layer: FNetFourierTransform) -> bool:
    return type(layer) is FusedFNetFourierTransform


def reason_to_leave_alone(layer: FNetFourierTransform) -> str | None:
    """Why the fused operator does not compute what this layer computes; None where it does."""
    if type(layer) is not FNetFourierTransform:
        return f"its class is {type(layer).__name__}"
    if "forward" in vars(layer):
        return "its forward has been replaced"
    transform = layer.self.fourier_transform
    if not isinstance(transform, partial) or transform.func is not torch.fft.fftn:
        return "it does not use torch.fft.fftn (use_tpu_fourier_optimizations)"
    if transform.args or transform.keywords != {"dim": (1, 2)}:
        return f"its transform is {transform}"
    if type(layer.output.LayerNorm) is not nn.LayerNorm:
        return f"its LayerNorm is {type(layer.output.LayerNorm).__name__}"
    return None
