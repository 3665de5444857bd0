"""Host time of a call, against layer_norm(x + x) and the formula: `python -m bench.host`.

The input is so small that the kernels take about a microsecond. The rest is Python, torch's
dispatcher and the binding, which also limit eager training on a GPU. A round times ten calls
of each in a row, so that code and data are cached. Times are first quartiles over rounds: machine
load only ever adds to a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from bench.arguments import duration, run_main
from bench.contestants.registry import CONTESTANTS, best_of_ours
from bench.contestants.setting import Setting, Sublayer
from bench.measure.timing import Problem, ready
from bench.shapes import Shape, label
from bench.targets.target import Target, text
from fnet_kernels._terminal import table
from fnet_kernels._timing import interleave

SHAPE: Shape = (1, 4, 16)
CALLS = 10  # in a row
RIVAL, FORMULA = "layer_norm(x + x)", "fftn"


@dataclass(frozen=True)
class Pass:
    """What one call does, the limit of ours / layer_norm(x + x), and the maker of the call."""

    name: str
    limit: float
    make: Callable[[Sublayer, Problem], Callable[[], Any]]

    @property
    def target(self) -> Target:
        return Target(f"host time, {self.name}: ours / {RIVAL}", self.limit, False)

    def __str__(self) -> str:
        return self.name


def _inference(function: Sublayer, problem: Problem) -> Callable[[], Any]:
    return partial(function, problem.x, problem.weight, problem.bias)


def _leaves(problem: Problem) -> list[torch.Tensor]:
    inputs = (problem.x, problem.weight, problem.bias)
    return [t.detach().clone().requires_grad_() for t in inputs]


def _forward(function: Sublayer, problem: Problem) -> Callable[[], Any]:
    return partial(function, *_leaves(problem))


def _step(function: Sublayer, problem: Problem) -> Callable[[], Any]:
    leaves, grad = _leaves(problem), problem.grads[0]
    return lambda: torch.autograd.grad(function(*leaves), leaves, grad)


PASSES = [
    Pass("inference", 2.0, _inference),
    Pass("forward for training", 2.7, _forward),
    Pass("training step", 1.8, _step),
]


def in_a_row(call: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that runs `call` `CALLS` times and returns the last result."""

    def run() -> Any:
        for _ in range(CALLS - 1):
            call()
        return call()

    return run


def calls(part: Pass) -> dict[str, Callable[[], Any]]:
    """`CALLS` calls in a row of ours, of `RIVAL` and of the formula, in this order."""
    names = (best_of_ours("cpu"), RIVAL, FORMULA)
    contestants = [next(c for c in CONTESTANTS if c.name == name) for name in names]
    problem = Problem.random(SHAPE)
    ready(contestants, problem, backward=part.make is not _inference)  # checks the results
    built = {c.name: c.build(Setting(SHAPE)) for c in contestants}
    return {name: in_a_row(part.make(function, problem)) for name, function in built.items()}


def measure(part: Pass, seconds: float) -> tuple[list[str], dict[str, Any]]:
    """The cells of a table row, and the result of the target's check."""
    times = interleave(calls(part), seconds=seconds, minimum=9, maximum=10**6)
    mine, rival, formula = (1e6 * t.quartiles[0] / CALLS for t in times.values())
    result = part.target.check((mine / rival,) * 3, shape=label(SHAPE))
    microseconds = [f"{t:.1f}" for t in (mine, rival, formula)]
    verdict = "met" if result["met"] else "MISSED"
    return [part.name, *microseconds, text(result), f"{result['limit']}, {verdict}"], result


def main(argv: list[str] | None = None) -> int:
    """Print the table. Returns 1 with --strict if a target is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.host",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=duration, default=3.0, help="time of each pass; default: %(default)s"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 if a target is missed")
    args = parser.parse_args(argv)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measured = [measure(part, args.seconds) for part in PASSES]
    finally:
        torch.set_num_threads(threads)
    heads = [
        f"host time, {label(SHAPE)}",
        "ours us",
        f"{RIVAL} us",
        "formula us",
        "ratio",
        "target",
    ]
    print(table(heads, [cells for cells, _ in measured]))
    return int(args.strict and not all(result["met"] for _, result in measured))


if __name__ == "__main__":
    run_main(main)
