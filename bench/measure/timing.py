"""Turns contestants into comparable times: inputs, a check of the result, interleaved rounds.

defines: Problem, Reference, WrongResult, definition, DIRECTIONS, ready, needed, prepared, time_all,
MOST
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bench.contestants.registry import SAME, Contestant
from bench.contestants.setting import EPS, Setting, Sublayer, reason
from bench.contestants.transforms import Copy
from bench.measure import cuda
from bench.shapes import Shape
from fnet_kernels import reference
from fnet_kernels._timing import Timing, interleave, wall_seconds
from fnet_kernels.diagnostics.tolerances import ANY_METHOD

SELDOM = 3  # calls of a contestant that exceeds the patience
AT_ONCE = 2**18  # elements of x that a reference transforms at once
MOST = 60  # rounds, unless a minimum asks for more

Entries = dict[str, tuple[Contestant, Sublayer]]
DIRECTIONS = {
    "forward": "inference: the forward pass without autograd",
    "backward": "the backward pass alone",
    "both": "a training step: forward and backward",
}


@dataclass(frozen=True)
class Problem:
    """The inputs of one comparison: x [batch, seq, hidden] and the affine parameters [hidden].

    `xs` contains equal copies of x. The calls rotate through them, so that x is cold if a cache
    holds fewer bytes.
    """

    xs: tuple[Tensor, ...]
    weight: Tensor
    bias: Tensor

    @property
    def x(self) -> Tensor:
        """The first of the copies."""
        return self.xs[0]

    @cached_property
    def grads(self) -> tuple[Tensor, ...]:
        """Equal random gradients of the result, one per copy of x, to be cold as well."""
        grad = torch.randn(self.x.shape, generator=torch.Generator().manual_seed(1))
        grad = grad.to(self.x.device, self.x.dtype)
        return (grad, *(grad.clone() for _ in self.xs[1:]))

    @classmethod
    def random(
        cls, shape: Shape, dtype: torch.dtype = torch.float32, device: str = "cpu", copies: int = 1
    ) -> Problem:
        """Standard normal x, weight near 1 and bias near 0 as in a trained model."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(shape, generator=generator)
        weight = 1 + 0.1 * torch.randn(shape[-1], generator=generator)
        bias = 0.1 * torch.randn(shape[-1], generator=generator)
        x, weight, bias = (t.to(device, dtype) for t in (x, weight, bias))
        return cls((x, *(x.clone() for _ in range(copies - 1))), weight, bias)

    @classmethod
    def cold(cls, setting: Setting) -> Problem:
        """Like `random`, with `setting.copies` copies of x."""
        return cls.random(setting.shape, setting.dtype, setting.device, setting.copies)

    def calls(self, direction: str) -> Callable[[Sublayer], Callable[[], Any]]:
        """The method of a key of `DIRECTIONS`: `forward`, `backward` or `step`.

        A `Copy` always runs forward, because it is the roofline of every pass.
        """
        ways: dict[str, Callable[[Sublayer], Callable[[], Any]]]
        ways = {"forward": self.forward, "backward": self.backward, "both": self.step}
        way = ways[direction]
        return lambda function: (self.forward if isinstance(function, Copy) else way)(function)

    def forward(self, function: Sublayer) -> Callable[[], Tensor]:
        """Return a call of `function` without autograd."""
        inputs = itertools.cycle(self.xs)

        def call() -> Tensor:
            with torch.no_grad():
                return function(next(inputs), self.weight, self.bias)

        return call

    def step(self, function: Sublayer) -> Callable[[], tuple[Tensor, ...]]:
        """Return a call of forward and backward: gradients of x, weight, bias and parameters."""
        backward = self.backward(function)

        def call() -> tuple[Tensor, ...]:
            backward.before()
            return backward()

        return call

    def backward(self, function: Sublayer) -> Backward:
        """Return a call of the backward pass alone; its `before` runs the forward pass."""
        return Backward(self, function)


class Backward:
    """The backward pass: gradients of x, weight, bias and the parameters of a module.

    Call `before` first, which runs the forward pass.
    """

    def __init__(self, problem: Problem, function: Sublayer) -> None:
        self.function = function
        affine = [t.detach().clone().requires_grad_() for t in (problem.weight, problem.bias)]
        own = list(function.parameters()) if isinstance(function, nn.Module) else []
        xs = [x.detach().requires_grad_() for x in problem.xs]
        pairs = zip(xs, problem.grads, strict=True)
        self.inputs_and_grads = itertools.cycle([((x, *affine, *own), grad) for x, grad in pairs])
        self.leaves: tuple[Tensor, ...] = ()
        self.grad: Tensor | None = None
        self.y: Tensor | None = None

    def before(self) -> None:
        """Run the forward pass and keep its graph."""
        self.leaves, self.grad = next(self.inputs_and_grads)
        self.y = self.function(*self.leaves[:3])

    def __call__(self) -> tuple[Tensor, ...]:
        y, self.y = self.y, None
        assert y is not None
        return torch.autograd.grad(y, self.leaves, self.grad, allow_unused=True)


def definition(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The definition of the mixing sublayer, with the eps of the benchmarks."""
    return reference.fused_fourier_mix(x, weight, bias, EPS)


class WrongResult(ArithmeticError):
    """A contestant computes something else than the definition."""


class Reference:
    """The result of `exact` in float64: y, or the gradient of x if `backward` is true.

    It is computed at first use, a few sequences at a time to save memory.
    """

    def __init__(
        self, problem: Problem, exact: Sublayer = definition, *, backward: bool = False
    ) -> None:
        self.inputs = (problem.x, problem.weight, problem.bias)
        self.grad = problem.grads[0] if backward else None
        self.exact = exact

    def result(self, function: Sublayer) -> Tensor:
        """The result of `function` in the dtype of the problem, for `check`."""
        return _outcome(function, *self.inputs, self.grad)

    def check(self, contestant: Contestant, result: Tensor) -> None:
        """Raise `WrongResult` if the error of `result` exceeds the tolerance of its dtype."""
        error = float((result.double() - self.value).abs().max() / self.value.abs().max())
        allowed = ANY_METHOD[str(result.dtype).removeprefix("torch.")]
        if not error <= max(allowed, contestant.tolerance or 0):
            raise WrongResult(f"{contestant.name}: relative error {error:.1e}")

    @cached_property
    def value(self) -> Tensor:
        """The expected result, [batch, seq, hidden] in float64."""
        x, weight, bias = (t.double() for t in self.inputs)
        rows = max(1, AT_ONCE // x[0].numel())
        parts = torch.split(x, rows)
        grad = self.grad
        grads = [None] * len(parts) if grad is None else torch.split(grad.double(), rows)
        each = zip(parts, grads, strict=True)
        return torch.cat([_outcome(self.exact, part, weight, bias, g) for part, g in each])


def _outcome(
    function: Sublayer, x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor | None
) -> Tensor:
    """y, or the gradient of x if `grad`, the gradient of y, is given."""
    leaves = [t.detach().requires_grad_(grad is not None) for t in (x, weight, bias)]
    with torch.set_grad_enabled(grad is not None):
        y = function(*leaves)
    return y if grad is None else torch.autograd.grad(y, leaves[0], grad)[0]


def ready(
    contestants: Iterable[Contestant], problem: Problem, *, backward: bool = False
) -> tuple[Entries, dict[str, str]]:
    """Make each contestant and check y, or with `backward` the gradient of x, against float64.

    Returns the contestants that can be timed, and the reasons of those that are absent, by name. A
    contestant is absent if it raises `Absent` or fails otherwise, such as by running out of memory.

    Raises:
        WrongResult: a contestant with a role in `SAME` computes something else.
    """
    torch.compiler.reset()  # otherwise torch silently stops compiling after eight shapes
    batch, seq, hidden = problem.x.shape
    device = problem.x.device.type
    setting = Setting((batch, seq, hidden), problem.x.dtype, device, backward)
    expected = Reference(problem, backward=backward)
    present: Entries = {}
    absent: dict[str, str] = {}
    for contestant in contestants:
        try:
            function = contestant.build(setting)
            if contestant.before is not None:
                contestant.before()
            result = expected.result(function) if contestant.role in SAME else None
        except Exception as failure:  # any failure: the others can still run
            absent[contestant.name] = reason(failure)
            continue
        if result is not None:
            expected.check(contestant, result)
        present[contestant.name] = (contestant, function)
    return present, absent


def needed(names: Iterable[str], absent: Mapping[str, str]) -> None:
    """Raise `RuntimeError` with the reason if one of `names` is absent."""
    for name in names:
        if name in absent:
            raise RuntimeError(f"{name}: {absent[name]}")


def time_all(
    entries: Entries,
    wrap: Callable[[Sublayer], Callable[[], object]],
    seconds: float,
    *,
    device: str = "cpu",
    patience: float | None = None,
    longest: float = float("inf"),
    minimum: int = 7,
    absent: dict[str, str] | None = None,
    on_round: Callable[[float], None] | None = None,
) -> dict[str, Timing]:
    """Interleaved times of `wrap(function)` for each entry; its `before` runs before each call.

    There are at least `minimum` rounds, and at most that or `MOST`, whichever is more.

    A contestant that takes more than `patience` seconds after warm-up does not run in every round:
    its `Timing` has `SELDOM` entries, or one if a call takes more than `longest` seconds. A
    contestant that fails is left out, with the reason in `absent`; if `absent` is None, the error
    is raised.
    """
    stopwatch = cuda.seconds if device == "cuda" else wall_seconds
    calls = {name: wrap(function) for name, (_, function) in entries.items()}
    before = {name: prepared(entries[name][0], call) for name, call in calls.items()}
    slow: dict[str, Timing] = {}
    for name in list(calls) if patience is not None else ():
        try:
            found = _when_slow(before[name], calls[name], stopwatch, (patience or 0, longest))
        except Exception as error:
            if absent is None:
                raise
            absent[name] = reason(error)
            del calls[name]
            continue
        if found is not None:
            slow[name] = found
            del calls[name]
    times = interleave(
        calls,
        before=before,
        seconds=seconds,
        minimum=minimum,
        maximum=max(MOST, minimum),
        warm_up=patience is None,
        on_round=on_round,
        stopwatch=stopwatch,
        failed=absent,
    )
    both = slow | times
    return {name: both[name] for name in entries if name in both}


def _when_slow(
    before: Callable[[], None],
    call: Callable[[], object],
    stopwatch: Callable[[Callable[[], object]], float],
    limits: tuple[float, float],
) -> Timing | None:
    """Times of a slow call: one that exceeds the first of `limits` when warm. Else None."""
    patience, longest = limits
    for _ in ("cold, may compile or plan", "warm"):
        before()
        taken = stopwatch(call)
        if taken <= patience:
            return None
    samples = [taken]
    while len(samples) < SELDOM and taken <= longest:
        before()
        samples.append(stopwatch(call))
    return Timing(tuple(samples), in_rounds=False)


def prepared(contestant: Contestant, call: object) -> Callable[[], None]:
    """The untimed function to run before each call: that of the contestant, then of the pass."""
    parts = [part for part in (contestant.before, getattr(call, "before", None)) if part]

    def before() -> None:
        for part in parts:
            part()

    return before
