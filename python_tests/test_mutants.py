"""The comparison must reject wrong results, or the other tests prove nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from comparison import assert_within_bar
from torch import Tensor

from fnet_kernels import fused_fourier_mix, reference


def perturbed(y: Tensor) -> Tensor:
    """By 1e-3 of the largest value, or by four roundings where those are coarser (bfloat16)."""
    step = max(1e-3, 4 * torch.finfo(y.dtype).eps)
    wide = y.double()
    wide[0, 5, 7] += step * wide.abs().max()
    return wide.to(y.dtype)


MUTANTS: dict[str, Callable[[Tensor], Tensor]] = {
    "zero": torch.zeros_like,
    "nan": lambda y: torch.full_like(y, float("nan")),
    "one nan": lambda y: y.index_fill(1, torch.tensor(3), float("nan")),
    "shifted seq": lambda y: y.roll(1, 1),
    "shifted hidden": lambda y: y.roll(1, 2),
    "mirrored": lambda y: y.flip(1, 2),
    "mirror off by one": lambda y: torch.cat([y[:, :17], y[:, 17:].roll(1, 2)], 1),
    "batches swapped": lambda y: y.flip(0),
    "scaled": lambda y: y * 1.02,
    "perturbed": perturbed,
}


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_rejected(mutant: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 32, 48).to(dtype)
    truth, baseline = reference.fused_fourier_mix(x.double()), reference.fused_fourier_mix(x)
    y = fused_fourier_mix(x)
    if dtype != torch.float64:  # there the truth has an error of its own
        assert_within_bar(y, truth, baseline)
    with pytest.raises(AssertionError):
        assert_within_bar(MUTANTS[mutant](y), truth, baseline)
