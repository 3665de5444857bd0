"""What turns contestants into comparable times: inputs, a check of the result, pages, rounds.

defines: Problem, ready, pages, time_all
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from contestants import EPS, Absent, Contestant, Sublayer
from shapes import Shape
from torch import Tensor

from fnet_kernels import reference
from fnet_kernels._timing import Timing, interleave

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # max |error| over max |exact|


@dataclass(frozen=True)
class Problem:
    """The inputs of one comparison: x [batch, seq, hidden] and the affine parameters [hidden]."""

    x: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def random(cls, shape: Shape, dtype: torch.dtype = torch.float32) -> Problem:
        """Standard normal x; weight near one and bias near zero, as in a trained model."""
        chance = torch.Generator().manual_seed(0)
        x = torch.randn(shape, generator=chance)
        weight = 1 + 0.1 * torch.randn(shape[-1], generator=chance)
        bias = 0.1 * torch.randn(shape[-1], generator=chance)
        return cls(x.to(dtype), weight.to(dtype), bias.to(dtype))

    def forward(self, function: Sublayer) -> Callable[[], Tensor]:
        """A call of `function` without autograd."""

        def call() -> Tensor:
            with torch.no_grad():
                return function(self.x, self.weight, self.bias)

        return call

    def step(self, function: Sublayer) -> Callable[[], tuple[Tensor, ...]]:
        """Forward and backward: the gradients of x, weight and bias."""
        leaves = [t.detach().clone().requires_grad_() for t in (self.x, self.weight, self.bias)]
        grad = torch.randn(self.x.shape, generator=torch.Generator().manual_seed(1))
        grad = grad.to(self.x.dtype)

        def call() -> tuple[Tensor, ...]:
            return torch.autograd.grad(function(*leaves), leaves, grad)

        return call


def ready(
    contestants: Iterable[Contestant], problem: Problem
) -> tuple[dict[str, tuple[Contestant, Sublayer]], dict[str, str]]:
    """Make each contestant and check its result against the float64 reference.

    Returns those that can be timed, and name to reason for those that are absent.
    Raises `ArithmeticError` when one that claims the same mathematics computes something else.
    """
    exact = reference.fused_fourier_mix(
        problem.x.double(), problem.weight.double(), problem.bias.double(), EPS
    )
    present: dict[str, tuple[Contestant, Sublayer]] = {}
    absent: dict[str, str] = {}
    for contestant in contestants:
        try:
            function = contestant.make()
        except Absent as reason:
            absent[contestant.name] = str(reason)
            continue
        if contestant.before is not None:
            contestant.before()
        error = (problem.forward(function)().double() - exact).abs().max() / exact.abs().max()
        if contestant.role != "floor" and not error <= TOLERANCE[problem.x.dtype]:
            raise ArithmeticError(f"{contestant.name}: relative error {error:.1e}")
        present[contestant.name] = (contestant, function)
    return present, absent


def time_all(
    entries: dict[str, tuple[Contestant, Sublayer]],
    wrap: Callable[[Sublayer], Callable[[], object]],
    seconds: float,
) -> dict[str, Timing]:
    """Interleaved times of `wrap(function)` for each entry, each under its own `before`."""
    return interleave(
        {name: wrap(function) for name, (_, function) in entries.items()},
        before={name: c.before for name, (c, _) in entries.items() if c.before is not None},
        seconds=seconds,
        least=7,
        most=60,
    )


# mallopt options, from malloc.h of the GNU C library
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4


def pages(mode: str) -> bool:
    """Tell malloc what to do with freed memory, from here on, for every contestant alike.

    "reused": keep all of it; no call pays for page faults after the first.
    "returned": give every block back at once, so that resident memory shows what is held.
    Without a call: the C library's default, in which a block over 32 MB is fresh pages each time.
    Returns False where the C library has no such switch.
    """
    settings = {
        "reused": [(_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 << 20)],
        "returned": [(_M_MMAP_THRESHOLD, 64 << 10), (_M_TRIM_THRESHOLD, 0)],
    }[mode]
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(option, value) == 1 for option, value in settings)
