"""Inputs with strides, offsets and views."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fnet_kernels import fourier_mix, fused_fourier_mix

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]

VIEWS: dict[str, Callable[[], Tensor]] = {
    "rows apart": lambda: torch.randn(3, 40, 96)[..., :48],
    "hidden offset": lambda: torch.randn(3, 40, 97)[..., 3:51],
    "every other row": lambda: torch.randn(3, 80, 48)[:, ::2],
    "every other column": lambda: torch.randn(3, 40, 96)[..., ::2],
    "transposed": lambda: torch.randn(3, 48, 40).transpose(1, 2),
    "seq first": lambda: torch.randn(40, 3, 48).transpose(0, 1),
    "expanded batch": lambda: torch.randn(1, 40, 48).expand(3, 40, 48),
    "expanded rows": lambda: torch.randn(3, 1, 48).expand(3, 40, 48),
    "expanded hidden": lambda: torch.randn(3, 40, 1).expand(3, 40, 48),
    "two leading, apart": lambda: torch.randn(2, 5, 40, 48)[:, 1:4],
    "two leading, swapped": lambda: torch.randn(5, 2, 40, 48).transpose(0, 1),
    "one of a fused projection": lambda: torch.randn(3, 40, 3 * 48).chunk(3, -1)[1],
    "negated lazily": lambda: torch._neg_view(torch.randn(3, 40, 48)),
    "unaligned": lambda: torch.randn(3 * 40 * 48 + 1)[1:].view(3, 40, 48),
    "no leading": lambda: torch.randn(80, 48)[::2],
}


def of_dtype(dtype: torch.dtype, view: Callable[[], Tensor]) -> Tensor:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return view()
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", VIEWS)
def test_views_and_copies_have_equal_results(name: str, dtype: torch.dtype) -> None:
    x = of_dtype(dtype, VIEWS[name])
    assert x.dtype == dtype
    before = x.clone()
    copy = x.clone(memory_format=torch.contiguous_format)
    assert torch.equal(fourier_mix(x), fourier_mix(copy))
    assert torch.equal(fused_fourier_mix(x), fused_fourier_mix(copy))
    assert torch.equal(x, before)


@pytest.mark.parametrize("hidden", [1, 7, 48, 64, 509])
def test_nothing_outside_x_is_read(hidden: int) -> None:
    padded = torch.full((3, 41, hidden + 32), float("nan"))
    x = padded[:, 1:, 16 : 16 + hidden]
    x.copy_(torch.randn(3, 40, hidden))
    assert fourier_mix(x).isfinite().all()
    assert torch.equal(fourier_mix(x), fourier_mix(x.contiguous()))


def test_scratch_is_never_read_before_it_is_written() -> None:
    x = torch.randn(2, 60, 88)
    first = fused_fourier_mix(x)
    for _ in range(20):  # the workspace reuses freed memory full of NaN
        for size in (1 << 12, 1 << 15, 1 << 17, 1 << 20):
            torch.full((size,), float("nan"))
        assert torch.equal(fused_fourier_mix(x), first)
