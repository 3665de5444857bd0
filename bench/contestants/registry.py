"""Every contestant of the benchmarks, in one list.

defines: Contestant, CONTESTANTS, LAYERS, EAGER, SAME, ours, best_of_ours, isas, pin

Most compute LayerNorm(x + Re(FFT2(x))). Floors are lower bounds: work that any operator of this
kind must do. The others take the place of the mixing sublayer in other models. A contestant that
cannot run raises `Absent` with the reason and is listed as absent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

import fnet_kernels
from bench.contestants.setting import EPS, Absent, Setting, Sublayer
from bench.contestants.sublayers import (
    attention_form,
    compiled_attention_form,
    layer_form,
    linear_attention_form,
)
from bench.contestants.transforms import (
    Copy,
    KernelCopy,
    Matmul,
    cupy_form,
    fftw_form,
    folded,
    folded_in_place,
    formula,
    half_spectrum,
    norm,
    scipy_form,
    two_ffts,
)
from fnet_kernels._ops.load import CUDA_UNAVAILABLE_REASON, DEVICES, operators

#: The formula and torch's compositions that run without compiling, by name.
EAGER = ("fftn", "two ffts", "rfft2 + mirror", "fold")
SAME = ("ours", "formula", "composition", "matmul", "library")  # roles that compute the same result


@dataclass(frozen=True)
class Contestant:
    """One way to compute the sublayer.

    Attributes:
        name: the name in tables and files.
        role: "ours", "formula" (the definition as other implementations write it), "composition"
            (faster compositions of torch operations), "matmul", "library" (an FFT library), "floor"
            (a lower bound), "attention" (self-attention with any kernel), "linear attention" or
            "layer" (an encoder layer).
        about: a description.
        make: returns the function to time, or raises `Absent`.
        before: runs untimed before each call.
        devices: the device types it runs on.
        tolerance: relative error allowed to a contestant that computes in a narrower dtype than x.
        captures: whether a CUDA graph can capture it. A library with its own allocator cannot be
            captured.
    """

    name: str
    role: str
    about: str
    make: Callable[[Setting], Sublayer]
    before: Callable[[], None] | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    tolerance: float | None = None
    captures: bool = True

    def build(self, setting: Setting) -> Sublayer:
        """Make the function. Raises `Absent` on a device type that is not in `devices`."""
        if setting.device not in self.devices:
            raise Absent(f"does not run on {setting.device}")
        return self.make(setting)


def _fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return fnet_kernels.fused_fourier_mix(x, weight, bias, EPS)


def _no_mixing(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return norm(x + x, weight, bias)


def isas() -> list[str]:
    """The instruction sets of this CPU that our kernels can use, best first."""
    return [isa for isa in operators.cpu_isas().split(",") if isa]


def pin(isa: str = "auto", path: str = "auto") -> None:
    """Pin our operator to an instruction set on CPUs and to a path on CUDA; "auto" unpins it."""
    operators.set_cpu_isa(isa)
    if "cuda" in DEVICES:
        operators.set_cuda_path(path)


def best_of_ours(device: str) -> str:
    """Name of the contestant that users get by default: best instruction set, or CUDA."""
    return "ours cuda" if device == "cuda" else f"ours {operators.cpu_isa()}"


def ours(isa: str) -> Contestant:
    """Our operator on the CPU, pinned to one instruction set."""

    def make(setting: Setting) -> Sublayer:
        if isa not in isas():
            raise Absent(f"this CPU runs {', '.join(isas())}")
        return _fused

    return Contestant(f"ours {isa}", "ours", "fused_fourier_mix", make, partial(pin, isa), ("cpu",))


def _on_cuda(setting: Setting) -> Sublayer:
    if "cuda" not in DEVICES:
        raise Absent(CUDA_UNAVAILABLE_REASON)
    return _fused


def _best(setting: Setting) -> Sublayer:
    """Our operator on the device of x."""
    return _on_cuda(setting) if setting.device == "cuda" else _fused


def _eager(name: str, role: str, function: Sublayer) -> Contestant:
    about = " ".join((function.__doc__ or name).split(". ")[0].split()).rstrip(".")
    return Contestant(name, role, about, lambda setting: function)


def _form(name: str, role: str, make: Callable[[Setting], Sublayer], *devices: str) -> Contestant:
    about = (make.__doc__ or name).strip().rstrip(".")
    return Contestant(name, role, about, make, devices=devices or ("cpu", "cuda"))


def _compiled(name: str, function: Sublayer) -> Contestant:
    def make(setting: Setting) -> Sublayer:
        # fullgraph: a graph break is an error, not a silent return to eager mode
        return torch.compile(function, fullgraph=True, dynamic=False)

    return Contestant(name, "composition", f"torch.compile of {function.__name__}", make)


def _attention(name: str, backend: SDPBackend) -> Contestant:
    """Self-attention with one SDPA kernel. It fails for inputs that the kernel does not support."""
    make = partial(attention_form, backend=backend)
    about = f"the same, by the {name} kernel alone"
    return Contestant(f"self-attention, {name}", "attention", about, make, devices=("cuda",))


def _matmul(name: str, dtype: torch.dtype, tolerance: float | None = None) -> Contestant:
    def make(setting: Setting) -> Sublayer:
        return Matmul(setting, dtype)

    what = str(dtype).removeprefix("torch.")
    about = f"DFT by two real matrix products per axis, in {what}, as on TPUs"
    return Contestant(name, "matmul", about, make, tolerance=tolerance)


CONTESTANTS: list[Contestant] = [
    *map(ours, ("avx512", "avx2", "neon_bf16", "neon", "portable")),
    Contestant("ours cuda", "ours", "fused_fourier_mix", _on_cuda, pin, ("cuda",)),
    Contestant(
        "ours, cuFFT path",
        "ours",
        "fused_fourier_mix around cuFFT, as at lengths without kernels",
        _on_cuda,
        partial(pin, path="general"),
        ("cuda",),
    ),
    # torch.fft uses pocketfft or MKL on CPUs and cuFFT on CUDA.
    _eager("fftn", "formula", formula),
    _compiled("fftn compiled", formula),
    _eager("two ffts", "formula", two_ffts),
    _compiled("two ffts compiled", two_ffts),
    _eager("rfft2 + mirror", "composition", half_spectrum),
    _compiled("rfft2 + mirror compiled", half_spectrum),
    _eager("fold", "composition", folded_in_place),
    _compiled("fold compiled", folded),
    _matmul("matmul fp32", torch.float32),
    _matmul("matmul bf16", torch.bfloat16, tolerance=3e-2),
    _form("SciPy", "library", scipy_form, "cpu"),
    _form("FFTW", "library", fftw_form, "cpu"),
    replace(_form("CuPy", "library", cupy_form, "cuda"), captures=False),
    Contestant("layer_norm(x + x)", "floor", "the sublayer without mixing", lambda s: _no_mixing),
    Contestant("copy", "floor", "x into memory that is kept: one read, one write", Copy),
    Contestant("copy by a kernel", "floor", "the same, elementwise", KernelCopy, devices=("cuda",)),
    _form("self-attention", "attention", attention_form),
    # Above torch chooses the kernel. On CUDA the fastest of all counts.
    _attention("flash", SDPBackend.FLASH_ATTENTION),
    _attention("cuDNN", SDPBackend.CUDNN_ATTENTION),
    _attention("memory-efficient", SDPBackend.EFFICIENT_ATTENTION),
    _form("self-attention compiled", "attention", compiled_attention_form, "cuda"),
    _form("linear attention", "linear attention", linear_attention_form),
]

# Encoder layers with different mixing. Ours uses the best instruction set.
LAYERS: list[Contestant] = [
    Contestant(
        "layer: ours",
        "layer",
        "our mixing, then the feed-forward half",
        layer_form(_best),
        pin,
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
        "layer: LayerNorm(x)",
        "layer",
        "only the LayerNorm of the mixing, then the feed-forward half",
        layer_form(lambda setting: norm),
    ),
    Contestant(
        "layer: no mixing", "layer", "the feed-forward half alone: the floor", layer_form(None)
    ),
]
