"""What is compared on a GPU: ways to compute the mixing sublayer, attention's, and floors.

defines: Contestant, Absent, CONTESTANTS, Formula, Attention, encoder_layers
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from gpu_device import Device
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from fnet_kernels import FNetEncoderLayer, FusedFourierMix

EPS = 1e-12


class Absent(Exception):
    """This contestant cannot run here; the message says why."""


class _Norm(nn.LayerNorm):
    """LayerNorm in the dtype of `u`, rounded to the dtype of x at the end."""

    def norm(self, u: Tensor, dtype: torch.dtype) -> Tensor:
        weight, bias = self.weight.to(u.dtype), self.bias.to(u.dtype)
        return layer_norm(u, self.normalized_shape, weight, bias, self.eps).to(dtype)


class Formula(_Norm):
    """The definition: a full complex transform, then its real part."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + torch.fft.fftn(x.float(), dim=(1, 2)).real, x.dtype)


class HalfSpectrum(_Norm):
    """rfft2, then the missing columns by symmetry: M[-k, -m] = M[k, m]."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = x.shape[-1]
        left = torch.fft.rfft2(x.float()).real
        mirrored = left[..., 1 : (hidden + 1) // 2].flip(1, 2).roll(1, 1)
        return self.norm(x + torch.cat((left, mirrored), -1), x.dtype)


class NoMixing(_Norm):
    """layer_norm(x + x): the sublayer without the transform."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + x, x.dtype)


class Copy(nn.Module):
    """One read and one write of x: the roofline."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


class Attention(nn.Module):
    """The self-attention sublayer of BERT: heads of 64, one backend, residual and LayerNorm."""

    def __init__(self, hidden: int, backend: SDPBackend) -> None:
        super().__init__()
        self.heads = hidden // 64
        self.backend = backend
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, EPS)

    def forward(self, x: Tensor) -> Tensor:
        batch, seq, hidden = x.shape
        qkv = self.qkv(x).view(batch, seq, 3, self.heads, hidden // self.heads)
        with sdpa_kernel(self.backend):
            mixed = scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        return self.norm(x + self.out(mixed.transpose(1, 2).reshape(x.shape)))


@dataclass(frozen=True)
class Contestant:
    """A module over x. `mixes`: it computes LayerNorm(x + Re(FFT2(x))), and must be right."""

    name: str
    make: Callable[[int], nn.Module]  # of the hidden size
    mixes: bool = True
    compiled: bool = False
    trains: bool = True

    def build(
        self, x: Tensor, device: Device, training: bool
    ) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
        """The module, with trained-looking parameters, and what to call; or raises `Absent`."""
        torch.manual_seed(0)
        module = self.make(x.shape[-1])
        for name, parameter in module.named_parameters():
            center = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
            nn.init.normal_(parameter, center, 0.02)
        module = module.to(device=x.device, dtype=x.dtype)
        function = device.compile(module) if self.compiled else module
        try:
            with torch.set_grad_enabled(training):
                function(x.detach().requires_grad_(training))
        except Exception as error:  # no such backend for this dtype, no compiler: whatever it is
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Absent(reason[:160]) from error
        return module, function


def _attention(name: str, backend: SDPBackend) -> Contestant:
    return Contestant(f"attention, {name}", partial(Attention, backend=backend), mixes=False)


CONTESTANTS = [
    Contestant("ours", partial(FusedFourierMix, eps=EPS)),
    Contestant("formula", partial(Formula, eps=EPS)),
    Contestant("formula compiled", partial(Formula, eps=EPS), compiled=True),
    Contestant("rfft2 + mirror", partial(HalfSpectrum, eps=EPS)),
    Contestant("rfft2 + mirror compiled", partial(HalfSpectrum, eps=EPS), compiled=True),
    _attention("flash", SDPBackend.FLASH_ATTENTION),
    _attention("cuDNN", SDPBackend.CUDNN_ATTENTION),
    _attention("memory-efficient", SDPBackend.EFFICIENT_ATTENTION),
    Contestant("layer_norm(x + x)", partial(NoMixing, eps=EPS), mixes=False),
    Contestant("copy", lambda hidden: Copy(), mixes=False, trains=False),
]


def definition(module: nn.Module) -> nn.Module:
    """What a module that does not mix has to compute, in float64."""
    exact = copy.deepcopy(module).double()
    if isinstance(exact, Attention):
        exact.backend = SDPBackend.MATH
    return exact


def encoder_layers(hidden: int, dtype: torch.dtype, device: Device) -> dict[str, nn.Module]:
    """The same encoder layer around our mixing, the formula, and less and less in its place."""
    torch.manual_seed(0)
    ours = FNetEncoderLayer(hidden, 4 * hidden, dropout=0.0)
    layers = {"layer: ours": ours}
    mixings = {
        "layer: formula": Formula(hidden, EPS),
        "layer: mixing removed, LayerNorm(x)": nn.LayerNorm(hidden, EPS),
        "layer: sublayer removed": nn.Identity(),
    }
    for name, mixing in mixings.items():
        layers[name] = copy.deepcopy(ours)
        layers[name].mixing = mixing
    return {name: m.to(device=device.type, dtype=dtype).eval() for name, m in layers.items()}
