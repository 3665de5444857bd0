"""Token mixers: maps of `[..., seq, hidden]` that replace self-attention, by name.

>>> import torch
>>> from fnet_kernels.mixers import create_mixer
>>> mixer = create_mixer("fourier", hidden_size=64, gain=1.0)  # Re(FFT2(x)) with norm="ortho"
>>> mixer(torch.randn(2, 128, 64)).shape
torch.Size([2, 128, 64])
"""

from fnet_kernels.mixers import (  # noqa: F401  they register their mixers
    attention,
    filter,
    fourier,
    hadamard,
    identity,
    structured,
    trigonometric,
    wavelet,
)
from fnet_kernels.mixers.attention import SelfAttention
from fnet_kernels.mixers.registry import create_mixer, list_mixers, register_mixer

__all__ = ["SelfAttention", "create_mixer", "list_mixers", "register_mixer"]
