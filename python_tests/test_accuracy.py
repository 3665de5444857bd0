"""Accuracy by the bars of comparison.py: all lengths up to 64 squared, and those models use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from comparison import assert_within_bar, norm_magnitude
from torch import Tensor

from fnet_kernels import fourier_mix, fused_fourier_mix, reference
from fnet_kernels._library import operators

ALL_DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]

#: (seq, hidden): what models use, an odd pair, a prime (general path), long, wide.
LARGE = [
    (512, 768),
    (512, 1024),
    (1000, 768),
    (1009, 64),
    (33, 1009),
    (4096, 96),
    (16, 4096),
    (77, 143),
    (384, 640),
    (2048, 120),
]


def residual(x: Tensor) -> Tensor:
    return operators.fourier_mix(x, 1.0, True)


def reference_residual(x: Tensor) -> Tensor:
    return x + reference.fourier_mix(x)


OPS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "mix": (fourier_mix, reference.fourier_mix),
    "residual": (residual, reference_residual),
    "norm": (fused_fourier_mix, reference.fused_fourier_mix),
}


def norm_is_defined(op: str, x: Tensor) -> bool:
    """Rows of one number, or of equal ones, have no variance: eps then magnifies rounding."""
    if op != "norm":
        return True
    u = reference_residual(x.double())
    return float(u.var(-1, unbiased=False).min()) > 1e-3 * float(u.square().mean())


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    "seqs", [range(s, s + 8) for s in range(1, 65, 8)], ids=lambda r: f"seq{r[0]}"
)
def test_all_small_lengths_float32(op: str, seqs: range) -> None:
    ours, torchs = OPS[op]
    checked = 0
    for seq in seqs:
        for hidden in range(1, 65):
            x = torch.randn(3, seq, hidden)
            if norm_is_defined(op, x):
                magnitude = norm_magnitude(x) if op == "norm" else 0.0
                truth, baseline = torchs(x.double()), torchs(x)
                assert_within_bar(ours(x), truth, baseline, f"{op} {seq}x{hidden}", magnitude)
                checked += 1
    assert checked > len(seqs) * 50


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_all_small_lengths_16_bit(dtype: torch.dtype) -> None:
    for seq in range(1, 65, 3):
        for hidden in range(1, 65):
            x = torch.randn(3, seq, hidden).to(dtype)
            truth = reference.fourier_mix(x.double())
            assert_within_bar(fourier_mix(x), truth, None, f"{seq}x{hidden}")


def extended_mix(x: Tensor) -> Tensor:
    """In extended precision, rounded to float64."""
    return torch.from_numpy(np.fft.fft2(x.numpy().astype(np.longdouble)).real.astype(np.float64))


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps >= np.finfo(np.float64).eps, reason="no extended precision here"
)
def test_small_lengths_float64() -> None:
    for seq in range(1, 65, 3):
        for hidden in range(1, 65):
            x = torch.randn(2, seq, hidden, dtype=torch.float64)
            assert_within_bar(
                fourier_mix(x), extended_mix(x), reference.fourier_mix(x), f"{seq}x{hidden}"
            )


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), LARGE)
def test_large_lengths(op: str, dtype: torch.dtype, seq: int, hidden: int) -> None:
    ours, torchs = OPS[op]
    x = torch.randn(2, seq, hidden, dtype=torch.float64).to(dtype)
    if dtype == torch.float16:
        x = x / 16  # the transform itself must fit float16; LayerNorm's result always does
    truth, baseline = torchs(x.double()), torchs(x)
    if dtype == torch.float64:  # the truth is torch's own, with an error like ours: no bar, a bound
        error = float((ours(x) - truth).abs().max())
        assert error < 64 * torch.finfo(dtype).eps * float(truth.abs().max())
    else:
        assert_within_bar(ours(x), truth, baseline, f"{op} {seq}x{hidden}")


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), [(512, 768), (37, 96), (60, 77), (1, 64), (16, 509)])
def test_gradients(dtype: torch.dtype, seq: int, hidden: int) -> None:
    x, grad = (torch.randn(3, seq, hidden).to(dtype) for _ in range(2))
    weight, bias = (torch.randn(hidden).to(dtype) for _ in range(2))

    def gradients(function: Callable[..., Tensor], to: torch.dtype) -> tuple[Tensor, ...]:
        leaves = [t.to(to).requires_grad_() for t in (x, weight, bias)]
        return torch.autograd.grad(function(*leaves), leaves, grad.to(to))

    ours = gradients(fused_fourier_mix, dtype)
    truth = gradients(reference.fused_fourier_mix, torch.float64)
    baseline = gradients(reference.fused_fourier_mix, torch.promote_types(dtype, torch.float32))
    for name, mine, true, base in zip(("x", "weight", "bias"), ours, truth, baseline, strict=True):
        if dtype == torch.float64:
            assert float((mine - true).abs().max()) < 1e-12 * float(true.abs().max()), name
        elif dtype == torch.float32:
            assert_within_bar(mine, true, base, name)
        else:  # the rows and du are kept in 16 bits: two more roundings of numbers of this size
            error = float((mine.double() - true).abs().max() / true.abs().max())
            assert error < 4 * torch.finfo(dtype).eps, name


@pytest.mark.parametrize("scale", [0.0, -1.0, (48 * 96) ** -0.5, 3.7])
def test_scale(scale: float) -> None:
    x = torch.randn(2, 48, 96)
    truth = reference.fused_fourier_mix(x.double(), scale=scale)
    baseline = reference.fused_fourier_mix(x, scale=scale)
    assert_within_bar(fused_fourier_mix(x, scale=scale), truth, baseline)


def test_an_offset_costs_no_accuracy() -> None:
    x = torch.randn(2, 64, 96) + 1000
    truth, baseline = reference.fused_fourier_mix(x.double()), reference.fused_fourier_mix(x)
    assert_within_bar(fused_fourier_mix(x), truth, baseline)


def test_eps_of_rows_without_variance() -> None:
    x = torch.full((1, 4, 8), 0.25)
    x[0, 0] = torch.linspace(0, 1, 8)
    y = fused_fourier_mix(x, eps=1.0)
    assert_within_bar(y, reference.fused_fourier_mix(x.double(), eps=1.0), y)


def test_float16_sums_may_exceed_its_range() -> None:
    x = torch.full((1, 512, 768), 1.0) + torch.randn(1, 512, 768) / 8  # the DC term is 393,216
    x = x.to(torch.float16)
    assert not reference.fourier_mix(x).isfinite().all()
    y = fused_fourier_mix(x)
    assert y.isfinite().all()
    assert_within_bar(y, reference.fused_fourier_mix(x.double()), None)


def test_outputs_larger_than_the_caches() -> None:
    # 9 MB: written past the caches. A row of 770 floats is not aligned for that.
    for hidden in (768, 770):
        x = torch.randn(6, 512, hidden)
        truth, baseline = reference.fused_fourier_mix(x.double()), reference.fused_fourier_mix(x)
        assert_within_bar(fused_fourier_mix(x), truth, baseline, f"hidden {hidden}")
