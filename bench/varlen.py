"""`python -m bench varlen`: a batch of sequences of random lengths, each mixed over its own length.

Packed rows against as many tokens in equal sequences, against padding to the longest, and against
a loop over the sequences, with and without our operator. Every call is fused with LayerNorm, and is
compared with the formula in float64 before it is timed.

    python -m bench varlen --pass both
    python -m bench varlen --count 16 --longest 4096
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bench.arguments import duration, positive, run_main
from bench.command import DTYPES
from bench.contestants.registry import Contestant
from bench.contestants.setting import COLD, EPS, or_absent
from bench.measure import machine
from bench.measure.pages import huge
from bench.measure.timing import MOST, Problem, Reference, WrongResult, definition
from bench.report.tables import absence_lines
from bench.shapes import VARLEN, random_lengths
from fnet_kernels import fused_fourier_mix, fused_fourier_mix_varlen, reference
from fnet_kernels._terminal import table
from fnet_kernels._timing import interleave

HIDDEN, EQUAL = 768, 256  # the length of the equal sequences
PACKED, SAME, PADDED = "packed", "equal lengths", "padded"
ROUND_TO = 16
ROUNDED = f"packed, round_to={ROUND_TO}"

Mix = Callable[[Tensor, Tensor, Tensor], Tensor]
Mixes = dict[str, tuple[tuple[int, ...], Mix]]


def offsets(lengths: Sequence[int]) -> list[int]:
    """0, then the end of each sequence."""
    return [0, *itertools.accumulate(lengths)]


def mixes(lengths: Sequence[int], hidden: int = HIDDEN) -> Mixes:
    """By name: the shape of x, and a function of x, weight and bias.

    >>> {name: shape for name, (shape, _) in mixes([300, 100], 8).items() if name != "formula"}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'packed': (400, 8), 'packed, round_to=16': (400, 8), 'padded, lengths=': (2, 300, 8),
     'equal lengths': (2, 256, 8), 'padded': (2, 300, 8), 'one by one': (400, 8)}
    """
    total, longest, cu = sum(lengths), max(lengths), offsets(lengths)
    packed, padded = (total, hidden), (len(lengths), longest, hidden)
    own = list(lengths)

    def each(mix: Callable[..., Tensor]) -> Mix:
        return lambda x, w, b: torch.cat([mix(part, w, b, EPS) for part in torch.split(x, own)])

    def varlen(round_to: int | None) -> Mix:
        return lambda x, w, b: fused_fourier_mix_varlen(x, cu, w, b, EPS, round_to=round_to)

    def dense(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return fused_fourier_mix(x, w, b, EPS)

    return {
        PACKED: (packed, varlen(None)),
        ROUNDED: (packed, varlen(ROUND_TO)),
        "padded, lengths=": (
            padded,
            lambda x, w, b: fused_fourier_mix(x, w, b, EPS, lengths=own),
        ),
        SAME: ((-(-total // EQUAL), EQUAL, hidden), dense),
        PADDED: (padded, dense),
        "one by one": (packed, each(fused_fourier_mix)),
        "formula": (packed, each(reference.fused_fourier_mix)),
    }


def call(
    shape: tuple[int, ...], mix: Mix, dtype: torch.dtype = torch.float32, direction: str = "forward"
) -> Callable[[], Any]:
    """A call of `mix` that rotates through copies of x, so that no x is in a cache."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    copies = min(4, max(1, COLD // (x.numel() * x.element_size())))
    xs = itertools.cycle([x, *(x.clone() for _ in range(copies - 1))])
    weight, bias = (torch.full((shape[-1],), value, dtype=dtype) for value in (1.0, 0.1))
    if direction == "forward":
        return lambda: mix(next(xs), weight, bias)
    grad = torch.randn_like(x)

    def step() -> tuple[Tensor, ...]:
        leaves = [t.detach().requires_grad_() for t in (next(xs), weight, bias)]
        return torch.autograd.grad(mix(*leaves), leaves, grad)

    return step


def check(
    name: str,
    lengths: Sequence[int],
    hidden: int = HIDDEN,
    dtype: torch.dtype = torch.float32,
    *,
    backward: bool = False,
) -> None:
    """Compare y of one of `mixes`, or with `backward` the gradient of x, with the formula.

    Raises:
        WrongResult: it is something else.
    """
    shape, mix = mixes(lengths, hidden)[name]
    contestant = Contestant(name, "varlen", "", lambda setting: mix)
    if name in (SAME, PADDED):  # all of one length
        batch, seq, _ = shape
        problem = Problem.random((batch, seq, hidden), dtype)
        expected = Reference(problem, definition, backward=backward)
        expected.check(contestant, expected.result(mix))
        return
    own, cu = list(lengths), offsets(lengths)
    round_to = ROUND_TO if name == ROUNDED else None

    def formula(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        y = reference.fused_fourier_mix_varlen(x[0], cu, w, b, EPS, round_to=round_to)
        return y[None]

    def rows(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        if len(shape) == 2:
            return mix(x[0], w, b)[None]
        padded = mix(pad_sequence(list(torch.split(x[0], own)), batch_first=True), w, b)
        return torch.cat([y[:length] for y, length in zip(padded, own, strict=True)])[None]

    expected = Reference(Problem.random((1, cu[-1], hidden), dtype), formula, backward=backward)
    expected.check(contestant, expected.result(rows))


def equal_tokens_factor(lengths: Sequence[int]) -> float:
    """The tokens of the batch over those of the equal sequences, which are rounded up."""
    total = sum(lengths)
    return total / (-(-total // EQUAL) * EQUAL)


def main(argv: list[str] | None = None) -> int:
    """Print the table. Returns 1 if a result is wrong or nothing was timed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench varlen",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--count", type=positive, default=len(VARLEN), help="sequences (default 64)"
    )
    parser.add_argument("--longest", type=positive, default=512, help="default: %(default)s")
    parser.add_argument("--hidden", type=positive, default=HIDDEN, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the lengths (default 0)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: %(default)s")
    parser.add_argument("--pass", dest="direction", choices=("forward", "both"), default="forward")
    parser.add_argument(
        "--seconds",
        type=duration,
        default=3.0,
        help=f"in all, in at most {MOST} rounds (default 3)",
    )
    args = parser.parse_args(argv)
    if args.longest < 16:
        parser.error(f"--longest: expected at least 16, got {args.longest}")

    huge()  # before the first tensor
    lengths = random_lengths(args.count, args.longest, args.seed)
    dtype, direction = DTYPES[args.dtype], args.direction
    calls: dict[str, Callable[[], Any]] = {}
    absent: dict[str, str] = {}
    try:
        for name, each in mixes(lengths, args.hidden).items():
            with or_absent(absent, name):
                check(name, lengths, args.hidden, dtype, backward=direction != "forward")
                calls[name] = call(*each, dtype=dtype, direction=direction)
    except WrongResult as error:
        print(f"bench varlen: stopped because a result is wrong: {error}", file=sys.stderr)
        return 1
    times = interleave(calls, seconds=args.seconds, maximum=MOST, failed=absent)
    factors = {SAME: equal_tokens_factor(lengths)}
    rows = []
    for name, timing in times.items():
        factor = factors.get(name, 1.0)
        over = f"{factor * timing.over(times[PACKED])[1]:.2f}x" if PACKED in times else ""
        rows.append([name, f"{1e3 * factor * timing.median:.2f}", over])
    what = f"{args.count} sequences of 16 to {args.longest} tokens, {sum(lengths)} in all"
    print(f"{machine.title(machine.describe('cpu'))}; {args.dtype}, {args.direction}, {what}\n")
    print(table(["", "median ms", "over packed"], rows), end="\n\n")
    print(absence_lines(absent), end="")
    print(f"{SAME}: of {EQUAL}, for as many tokens. {PADDED}: other results, all of one length.")
    return int(not times)


if __name__ == "__main__":
    run_main(main)
