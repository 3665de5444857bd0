"""The mixing sublayer, LayerNorm(x + Re(FFT2(x))), in torch, by matrix products, by FFT libraries.

defines: two_ffts, formula, half_spectrum, folded, folded_in_place, Matmul, Copy, scipy_form,
    fftw_form, cupy_form

Each takes x [batch, seq, hidden], weight and bias [hidden]. 16-bit inputs are cast to float32 for
the transform, because torch.fft does not support them on CPUs.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.utils.dlpack
from torch import Tensor
from torch.nn.functional import layer_norm

from bench.contestants.setting import EPS, Absent, Setting, Sublayer

LARGEST_MATRICES = 4 << 30  # bytes; the upper limit for DFT matrices and learned ones


def norm(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """LayerNorm over the last axis."""
    return layer_norm(u, u.shape[-1:], weight, bias, EPS)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype.itemsize == 2 else x


def two_ffts(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The paper's formula: one transform along hidden, one along seq, then the real part."""
    mixed = torch.fft.fft(torch.fft.fft(_wide(x), dim=-1), dim=-2).real
    return norm(x + mixed.to(x.dtype), weight, bias)


def formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The definition, as in Hugging Face: a full complex transform, then its real part."""
    return norm(x + torch.fft.fftn(_wide(x), dim=(1, 2)).real.to(x.dtype), weight, bias)


def _mirrored(left: Tensor, d: int) -> Tensor:
    """All d columns from the left half, by symmetry: M[-k, -m] = M[k, m]."""
    mirror = left[..., 1 : (d + 1) // 2].flip(1, 2).roll(1, 1)
    return torch.cat((left, mirror), -1)


def half_spectrum(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """rfft2, then the missing columns by symmetry: M[-k, -m] = M[k, m]."""
    mixed = _mirrored(torch.fft.rfft2(_wide(x)).real, x.shape[-1])
    return norm(x + mixed.to(x.dtype), weight, bias)


def folded(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Fold x with its mirror image, then transform a quarter of the data: real-to-complex along
    seq, complex-to-real along hidden, and rows k > N/2 by symmetry."""
    n, d = x.shape[1:]
    wide = _wide(x)
    half = wide[..., : d // 2 + 1]
    mirror = wide.flip(1, 2).roll((1, 1), (1, 2))[..., : d // 2 + 1]
    spectrum = torch.fft.rfft((half + mirror) * 0.5, dim=1).conj()
    top = torch.fft.irfft(spectrum, n=d, dim=2, norm="forward")
    bottom = top[:, 1 : (n + 1) // 2].flip(1, 2).roll(1, 2)
    return norm(x + torch.cat((top, bottom), 1).to(x.dtype), weight, bias)


def _add_mirror(to: Tensor, source: Tensor, alpha: float) -> None:
    """to[:, k, m] += alpha * source[:, K - 1 - k, -m]; both have K rows."""
    columns = source.shape[2] - to.shape[2] + 1
    to[..., 0].add_(source[..., 0].flip(1), alpha=alpha)
    to[..., 1:].add_(source[..., columns:].flip(1, 2), alpha=alpha)


def folded_in_place(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`folded` in its fastest eager form: in place, without rolls. (Compiled, it is slower.)"""
    n, d = x.shape[1:]
    wide = _wide(x)
    half = wide[..., : d // 2 + 1].clone()
    _add_mirror(half[:, :1], wide[:, :1], 1.0)
    _add_mirror(half[:, 1:], wide[:, 1:], 1.0)
    top = torch.fft.irfft(torch.fft.rfft(half, dim=1).conj(), n=d, dim=2, norm="forward")
    rows = n // 2 + 1
    u = wide.clone()
    u[:, :rows].add_(top, alpha=0.5)
    _add_mirror(u[:, rows:], top[:, 1 : n - rows + 1], 0.5)
    return norm(u.to(x.dtype), weight, bias)


def _cos_sin(n: int, setting: Setting, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi j k / n, [n, n]. j k is reduced modulo n in integers, for accuracy."""
    j = torch.arange(n, device=setting.device)
    angle = (2 * torch.pi / n) * (torch.outer(j, j) % n).double()
    return angle.cos().to(dtype), angle.sin().to(dtype)


class Matmul:
    """DFT as matrix products, as on TPUs: two real products per axis, batched into one call.

    With C and S the cosine and sine matrices: Re(FFT2(x)) = C_n x C_d - S_n x S_d.
    """

    def __init__(self, setting: Setting, dtype: torch.dtype) -> None:
        _, n, d = setting.shape
        needed = 2 * (n * n + d * d) * dtype.itemsize
        if needed > LARGEST_MATRICES:
            raise Absent(f"its matrices would take {needed / 2**30:.1f} GiB")
        self.dtype = dtype
        self.right = torch.stack(_cos_sin(d, setting, dtype))  # [2, d, d]
        cos, sin = _cos_sin(n, setting, dtype)
        self.left = torch.cat((cos, -sin), 1)  # [n, 2n]

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        both = x.to(self.dtype).unsqueeze(1) @ self.right  # [batch, 2, n, d]
        return norm(x + (self.left @ both.flatten(1, 2)).to(x.dtype), weight, bias)


class Copy:
    """The roofline: read x once and write it once, into memory that is allocated beforehand.

    The outputs rotate through as much memory as x does, so they are not in the caches and cause no
    page faults.
    """

    def __init__(self, setting: Setting) -> None:
        one = torch.ones(setting.shape, dtype=setting.dtype, device=setting.device)
        self.outputs = itertools.cycle([one.clone() for _ in range(setting.copies)])

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y: Tensor = next(self.outputs).copy_(x)
        return y


class KernelCopy(Copy):
    """`Copy` by an elementwise kernel. In a CUDA graph `copy_` is a memcpy node, which starts more
    slowly than a kernel."""

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.add(x, 0, out=next(self.outputs))


def _forward_only(setting: Setting) -> None:
    if setting.backward:
        raise Absent("forward only: this library has no gradients")


def scipy_form(setting: Setting) -> Sublayer:
    """scipy.fft.rfft2 (pocketfft) with the same number of threads as torch, then the mirror."""
    _forward_only(setting)
    try:
        import scipy.fft
    except ImportError as error:
        raise Absent("SciPy is not installed") from error

    def sublayer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        spectrum = scipy.fft.rfft2(_wide(x).numpy(), workers=torch.get_num_threads())
        left = torch.from_numpy(spectrum).real
        return norm(x + _mirrored(left, x.shape[-1]).to(x.dtype), weight, bias)

    return sublayer


def fftw_form(setting: Setting) -> Sublayer:
    """FFTW's rfft2, planned beforehand (at most 5 s) for the same threads, then the mirror."""
    _forward_only(setting)
    try:
        import pyfftw
    except ImportError as error:
        raise Absent("pyfftw is not installed") from error

    batch, n, d = setting.shape
    source = pyfftw.empty_aligned((batch, n, d), dtype="float32")
    spectrum = pyfftw.empty_aligned((batch, n, d // 2 + 1), dtype="complex64")
    plan: Any = pyfftw.FFTW(
        source,
        spectrum,
        axes=(1, 2),
        flags=("FFTW_MEASURE",),
        threads=torch.get_num_threads(),
        planning_timelimit=5.0,
    )
    left = torch.from_numpy(spectrum).real

    def sublayer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        plan(input_array=_wide(x).numpy())  # copies only if the alignment differs
        return norm(x + _mirrored(left, d).to(x.dtype), weight, bias)

    return sublayer


def cupy_form(setting: Setting) -> Sublayer:
    """cupy.fft.rfft2 (cuFFT) on torch's memory, then the mirror in torch."""
    _forward_only(setting)
    try:
        import cupy
    except ImportError as error:
        raise Absent("CuPy is not installed") from error

    def sublayer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            spectrum = cupy.fft.rfft2(cupy.from_dlpack(_wide(x)))
        left = torch.utils.dlpack.from_dlpack(spectrum).real
        return norm(x + _mirrored(left, x.shape[-1]).to(x.dtype), weight, bias)

    return sublayer
