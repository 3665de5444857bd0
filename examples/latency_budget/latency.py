"""Times models forward, interleaved, and finds the largest within a budget.

defines: forward, time_together, first_look, promising, largest, peak_mib
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.measure import cuda, memory
from examples.latency_budget.sizes import EQUAL, TRANSFORMER, Size, tokens
from fnet_kernels._timing import Timing, interleave, wall_seconds

#: Models that are timed together; the more, the longer until the first that fits is found.
_TOGETHER = 4
#: A model this much slower than the Transformer in a first, short look is not timed again.
_HOPELESS = 1.25

Times = dict[Size, dict[int, Timing]]


def forward(size: Size, batch: int, seq: int, device: str = "cpu") -> Callable[[], Any]:
    """A call of the model on `[batch, seq]` bytes, without autograd."""
    model, ids = size.build(seq).to(device), tokens(batch, seq, device)

    def call() -> Any:
        with torch.inference_mode():
            return model(ids).logits

    return call


def _stopwatch(device: str) -> Callable[[Callable[[], Any]], float]:
    return cuda.seconds if device == "cuda" else wall_seconds


def time_together(
    sizes: Sequence[Size], seq: int, batches: Sequence[int], seconds: float, device: str
) -> Times:
    """Interleaved times of every size at every batch size; `seconds` for each batch size."""
    found: Times = {size: {} for size in sizes}
    for batch in batches:
        calls = {str(i): forward(size, batch, seq, device) for i, size in enumerate(sizes)}
        times = interleave(
            calls,
            seconds=seconds,
            minimum=5,
            maximum=200,
            stopwatch=_stopwatch(device),
        )
        for i, size in enumerate(sizes):
            found[size][batch] = times[str(i)]
    return found


def first_look(seq: int, batches: Sequence[int], device: str) -> Callable[[Size], float]:
    """A function that tells a size's time over the Transformer's, the worst of the batch sizes.

    It calls each model a few times: good enough to leave out what is far too slow.
    """

    def look(size: Size, batch: int) -> float:
        call = forward(size, batch, seq, device)
        call()
        return min(_stopwatch(device)(call) for _ in range(3 if batch == batches[0] else 1))

    budget = [look(TRANSFORMER, batch) for batch in batches]

    def ratio(size: Size) -> float:
        worst = 0.0
        for batch, allowed in zip(batches, budget, strict=True):
            worst = max(worst, look(size, batch) / allowed)
            if worst > _HOPELESS:
                break
        return worst

    return ratio


def promising(sizes: Sequence[Size], ratio: Callable[[Size], float]) -> list[Size]:
    """The sizes that a first look finds near the Transformer's time, in their order.

    A size is not looked at when a shallower one of the same width is hopeless.
    """
    hopeless: set[int] = set()
    near = []
    for size in sorted(sizes, key=lambda size: (size.hidden, size.layers)):
        if size.hidden in hopeless:
            continue
        if ratio(size) > _HOPELESS:
            hopeless.add(size.hidden)
        else:
            near.append(size)
    return [size for size in sizes if size in near]


def largest(
    sizes: Sequence[Size],
    time: Callable[[Sequence[Size]], Times],
) -> tuple[Size | None, Times]:
    """The first of `sizes` whose median is at most the Transformer's at every batch size.

    They are timed in groups, each beside the Transformer and the FNet of its size.

    Returns:
        That size, or None, and the times of the group that it was found in.
    """
    times: Times = {}
    for start in range(0, len(sizes), _TOGETHER):
        group = sizes[start : start + _TOGETHER]
        times = time([TRANSFORMER, EQUAL, *group])
        budget = times[TRANSFORMER]
        for size in group:
            if all(t.median <= budget[batch].median for batch, t in times[size].items()):
                return size, times
    return None, times or time([TRANSFORMER, EQUAL])


def peak_mib(size: Size, batch: int, seq: int, threads: int, device: str) -> float | None:
    """Peak memory of one forward call; None where the system does not tell it."""
    if device == "cuda":
        call = forward(size, batch, seq, device)
        call()
        return cuda.peak(call) / 2**20
    task = {"size": list(vars(size).values()), "batch": batch, "seq": seq, "threads": threads}
    found = memory.child(task, "examples.latency_budget.peak")
    if isinstance(found, str):
        print(found, file=sys.stderr)
        return None
    return float(found) / 2**20
