"""Every contestant of the benchmarks, in one place.

defines: Contestant, Absent, CONTESTANTS, ours

A contestant computes LayerNorm(x + Re(FFT2(x))) (or is a floor: work that any such op has to do).
One that cannot run here raises `Absent` with the reason, and is listed with it, never dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

import fnet_kernels

EPS = 1e-12
Sublayer = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x, weight, bias) -> y, shaped as x


class Absent(Exception):
    """This contestant cannot run here; the message says why."""


@dataclass(frozen=True)
class Contestant:
    """One way to compute the sublayer.

    `role` is "ours", "formula" (the definition, as every implementation writes it), "composition"
    (the best that torch operations can do) or "floor" (not the same mathematics: a lower bound).
    `make` returns the function to time, or raises `Absent`. `before` runs untimed before each call.
    """

    name: str
    role: str
    about: str
    make: Callable[[], Sublayer]
    before: Callable[[], None] | None = None


def _norm(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return layer_norm(u, u.shape[-1:], weight, bias, EPS)


def formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The definition: a full complex transform, then its real part."""
    return _norm(x + torch.fft.fftn(x, dim=(1, 2)).real, weight, bias)


def half_spectrum(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """rfft2, then the missing columns by symmetry: M[-k, -m] = M[k, m]."""
    d = x.shape[-1]
    left = torch.fft.rfft2(x).real
    mirrored = left[..., 1 : (d + 1) // 2].flip(1, 2).roll(1, 1)
    return _norm(x + torch.cat((left, mirrored), -1), weight, bias)


def folded(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Fold x with its mirror image, then transform a quarter of the data: real-to-complex along
    seq, complex-to-real along hidden, and rows k > N/2 by symmetry."""
    n, d = x.shape[1:]
    half = x[..., : d // 2 + 1]
    mirror = x.flip(1, 2).roll((1, 1), (1, 2))[..., : d // 2 + 1]
    spectrum = torch.fft.rfft((half + mirror) * 0.5, dim=1).conj()
    top = torch.fft.irfft(spectrum, n=d, dim=2, norm="forward")
    bottom = top[:, 1 : (n + 1) // 2].flip(1, 2).roll(1, 2)
    return _norm(x + torch.cat((top, bottom), 1), weight, bias)


def _fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return fnet_kernels.fused_fourier_mix(x, weight, bias, EPS)


def _no_mixing(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _norm(x + x, weight, bias)


def _copy(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.clone()


def isas() -> list[str]:
    """The instruction sets that our kernels can use here, best first."""
    return [isa for isa in torch.ops.fnet_kernels.cpu_isas().split(",") if isa]


def ours(isa: str) -> Contestant:
    """Our op, held to one instruction set."""

    def make() -> Sublayer:
        if isa not in isas():
            raise Absent(f"this CPU runs {', '.join(isas())}")
        return _fused

    def hold() -> None:
        torch.ops.fnet_kernels.set_cpu_isa(isa)

    return Contestant(f"ours {isa}", "ours", "fused_fourier_mix", make, hold)


def _eager(name: str, role: str, function: Sublayer) -> Contestant:
    return Contestant(name, role, (function.__doc__ or name).split(".")[0], lambda: function)


def _compiled(name: str, function: Sublayer) -> Contestant:
    def make() -> Sublayer:
        compiled = torch.compile(function, dynamic=False)
        try:
            with torch.no_grad():
                compiled(torch.zeros(1, 4, 4), torch.ones(4), torch.zeros(4))
        except Exception as error:  # no C++ compiler, an unsupported Python: whatever the reason
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Absent(f"torch.compile failed: {reason[:120]}") from error
        return compiled

    return Contestant(name, "composition", f"torch.compile of {function.__name__}", make)


CONTESTANTS: list[Contestant] = [
    *map(ours, ("avx512", "avx2", "neon", "portable")),
    _eager("fftn", "formula", formula),
    _compiled("fftn compiled", formula),
    _eager("rfft2 + mirror", "composition", half_spectrum),
    _compiled("rfft2 + mirror compiled", half_spectrum),
    _eager("fold", "composition", folded),
    _compiled("fold compiled", folded),
    Contestant("layer_norm(x + x)", "floor", "the sublayer without mixing", lambda: _no_mixing),
    Contestant("copy", "floor", "one read and one write of x", lambda: _copy),
]
