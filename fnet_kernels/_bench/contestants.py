"""Every contestant of the benchmarks, in one list.

defines: Contestant, CONTESTANTS, LAYERS, SAME, ours, isas

Most compute LayerNorm(x + Re(FFT2(x))). Floors are work that any such op has to do; the others are
what stands in the mixing sublayer's place in other models. One that cannot run here raises
`Absent` with the reason, and is listed with it, never dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import fnet_kernels
from fnet_kernels._bench.setting import EPS, Absent, Setting, Sublayer, reason
from fnet_kernels._bench.sublayers import attention_form, layer_form, linear_attention_form
from fnet_kernels._bench.transforms import (
    Copy,
    Matmul,
    cupy_form,
    fftw_form,
    folded,
    formula,
    half_spectrum,
    norm,
    scipy_form,
    two_ffts,
)
from fnet_kernels._library import DEVICES, NO_CUDA

SAME = ("ours", "formula", "composition", "matmul", "library")  # roles of the same mathematics


@dataclass(frozen=True)
class Contestant:
    """One way to compute the sublayer.

    `role` is "ours", "formula" (the definition, as every implementation writes it), "composition"
    (the best that torch operations can do), "matmul", "library" (an FFT library), "floor" (a lower
    bound), "attention" or "layer" (a whole encoder layer). `make` returns the function to time,
    or raises `Absent`. `before` runs untimed before each call. `tolerance` is for one that
    computes in a narrower dtype than x has.
    """

    name: str
    role: str
    about: str
    make: Callable[[Setting], Sublayer]
    before: Callable[[], None] | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    tolerance: float | None = None

    def build(self, setting: Setting) -> Sublayer:
        """What `make` returns; `Absent` on a device that this contestant does not know."""
        if setting.device not in self.devices:
            raise Absent(f"does not run on {setting.device}")
        return self.make(setting)


def _fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return fnet_kernels.fused_fourier_mix(x, weight, bias, EPS)


def _no_mixing(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return norm(x + x, weight, bias)


def isas() -> list[str]:
    """The instruction sets that our kernels can use here, best first."""
    return [isa for isa in torch.ops.fnet_kernels.cpu_isas().split(",") if isa]


def _set_isa(isa: str) -> None:
    torch.ops.fnet_kernels.set_cpu_isa(isa)


def ours(isa: str) -> Contestant:
    """Our op on the CPU, held to one instruction set."""

    def make(setting: Setting) -> Sublayer:
        if isa not in isas():
            raise Absent(f"this CPU runs {', '.join(isas())}")
        return _fused

    hold = partial(_set_isa, isa)
    return Contestant(f"ours {isa}", "ours", "fused_fourier_mix", make, hold, ("cpu",))


def _on_cuda(setting: Setting) -> Sublayer:
    if "cuda" not in DEVICES:
        raise Absent(NO_CUDA)
    return _fused


def _best(setting: Setting) -> Sublayer:
    """Our op, wherever x is."""
    return _on_cuda(setting) if setting.device == "cuda" else _fused


def _eager(name: str, role: str, function: Sublayer) -> Contestant:
    about = " ".join((function.__doc__ or name).split(". ")[0].split()).rstrip(".")
    return Contestant(name, role, about, lambda setting: function)


def _form(name: str, role: str, make: Callable[[Setting], Sublayer], *devices: str) -> Contestant:
    about = (make.__doc__ or name).strip().rstrip(".")
    return Contestant(name, role, about, make, devices=devices or ("cpu", "cuda"))


def _compiled(name: str, function: Sublayer) -> Contestant:
    def make(setting: Setting) -> Sublayer:
        compiled = torch.compile(function, dynamic=False)
        x = torch.zeros(setting.shape, dtype=setting.dtype, device=setting.device)
        try:
            with torch.no_grad():
                compiled(x, torch.ones_like(x[0, 0]), torch.zeros_like(x[0, 0]))
        except Exception as error:  # no C++ compiler, an unsupported Python: whatever the reason
            raise Absent(f"torch.compile failed: {reason(error)}") from error
        return compiled

    return Contestant(name, "composition", f"torch.compile of {function.__name__}", make)


def _matmul(name: str, dtype: torch.dtype, tolerance: float | None = None) -> Contestant:
    def make(setting: Setting) -> Sublayer:
        return Matmul(setting, dtype)

    what = str(dtype).removeprefix("torch.")
    about = f"DFT by two real matrix products per axis, in {what}, as on TPUs"
    return Contestant(name, "matmul", about, make, tolerance=tolerance)


CONTESTANTS: list[Contestant] = [
    *map(ours, ("avx512", "avx2", "neon", "portable")),
    Contestant("ours cuda", "ours", "fused_fourier_mix", _on_cuda, devices=("cuda",)),
    # torch.fft: pocketfft or MKL on a CPU, cuFFT on CUDA
    _eager("fftn", "formula", formula),
    _compiled("fftn compiled", formula),
    _eager("two ffts", "formula", two_ffts),
    _compiled("two ffts compiled", two_ffts),
    _eager("rfft2 + mirror", "composition", half_spectrum),
    _compiled("rfft2 + mirror compiled", half_spectrum),
    _eager("fold", "composition", folded),
    _compiled("fold compiled", folded),
    _matmul("matmul fp32", torch.float32),
    _matmul("matmul bf16", torch.bfloat16, tolerance=3e-2),
    _form("SciPy", "library", scipy_form, "cpu"),
    _form("FFTW", "library", fftw_form, "cpu"),
    _form("CuPy", "library", cupy_form, "cuda"),
    Contestant("layer_norm(x + x)", "floor", "the sublayer without mixing", lambda s: _no_mixing),
    Contestant("copy", "floor", "x into memory that is kept: one read, one write", Copy),
    _form("self-attention", "attention", attention_form),
    _form("linear attention", "attention", linear_attention_form),
]

# The encoder layer around the mixing. Ours runs the best instruction set.
LAYERS: list[Contestant] = [
    Contestant(
        "layer: ours",
        "layer",
        "our mixing, then the feed-forward half",
        layer_form(_best),
        partial(_set_isa, "auto"),
    ),
    Contestant(
        "layer: formula",
        "layer",
        "fftn, then the feed-forward half",
        layer_form(lambda setting: formula),
    ),
    Contestant(
        "layer: self-attention",
        "layer",
        "self-attention, then the feed-forward half",
        layer_form(attention_form),
    ),
    Contestant(
        "layer: no mixing", "layer", "the feed-forward half alone: the floor", layer_form(None)
    ),
]
