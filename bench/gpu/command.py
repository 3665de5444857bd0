"""The bars of this project on a GPU, measured: `python -m bench.gpu`.

Every contestant's result is held against float64 first. Then each is captured as a CUDA graph over
a ring of inputs that together exceed the second-level cache several times, and the graphs are
replayed in interleaved rounds between CUDA events: cold caches, no launch overhead for anyone,
medians and quartiles. Prints a table of bars last and writes results/<gpu>.json after every part.

    python -m bench.gpu                         every part, in this process
    python -m bench.gpu --part "forward bf16"   some parts; their figures join those in the file
    python -m bench.gpu --merge a.json b.json   the figures of several runs as one file

A part that kills its process stands in the file as one that began and did not end.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.contestants.registry import CONTESTANTS, LAYERS, SAME, Contestant, best_of_ours
from bench.contestants.setting import Absent, Setting, Sublayer, reason
from bench.folders import RESULTS
from bench.gpu.device import Call, Cuda, Device, Host, Tensors
from bench.gpu.report import COPIES, Report, fastest, merge
from bench.measure.memory import cases
from bench.measure.timing import Entries, Problem, Truth, definition, prepared
from bench.shapes import Shape, label
from bench.targets.target import Target
from fnet_kernels._terminal import table
from fnet_kernels._timing import Timing

BASE: Shape = (32, 512, 768)
LONG: Shape = (4, 4096, 768)
SHAPES: list[Shape] = [BASE, LONG, (8, 2048, 768), (32, 512, 1024)]
UNLISTED: Shape = (32, 509, 768)  # a prime length: our general path, around cuFFT
REHEARSED: list[Shape] = [(2, 16, 64)]
DTYPES = {torch.bfloat16: "bf16", torch.float32: "fp32"}

FORMULA = Target("forward: formula / ours", 10.0, True)  # all of them set for the H100, in bf16
COMPILED = Target("forward: compiled formula / ours", 6.0, True)
ROOFLINE = Target("forward: ours / copy of x", 1.5, False)
ATTENTION = {
    512: Target("forward, N = 512: attention / ours", 5.0, True),
    4096: Target("forward, N = 4096: attention / ours", 20.0, True),
}
LAYER = Target("layer / layer without mixing", 1.05, False)
MEMORY = Target("extra memory / x in fp32", 0.5, False)
TARGETS = [FORMULA, COMPILED, ROOFLINE, *ATTENTION.values(), LAYER, MEMORY]

ATTENTIONS = [c.name for c in CONTESTANTS if c.role == "attention"]
#: Who is compared with ours. Other ways to write the formula, and matrix products, cost more time.
RIVALS = [
    *("ours, cuFFT path", "fftn", "fftn compiled", "rfft2 + mirror", "rfft2 + mirror compiled"),
    *("fold", "fold compiled", "layer_norm(x + x)", "copy", "copy by a kernel", *ATTENTIONS),
    "CuPy",  # launched, not captured: its launches count
]
#: What a comparison is worth nothing without. Measured first; only these may end a part.
NEEDED = [*map(best_of_ours, ("cpu", "cuda")), "copy", "layer: ours", "layer: LayerNorm(x)"]
#: The share of the time that has to be left for it to be compiled, where that is not 0.
SPARE = {"rfft2 + mirror compiled": 0.4, "fold compiled": 0.5}


def place(setting: Setting) -> str:
    """`32x512x768 bf16`."""
    return f"{label(setting.shape)} {DTYPES[setting.dtype]}"


def chosen(*names: str) -> list[Contestant]:
    """The contestants of these names, in this order."""
    known = {c.name: c for c in CONTESTANTS}
    return [known[name] for name in names]


def made(name: str, setting: Setting) -> Sublayer:
    """The function of one that cannot be absent."""
    (contestant,) = chosen(name)
    function = contestant.build(setting)
    prepared(contestant, None)()
    return function


def ring(setting: Setting, device: Device) -> Problem:
    """Inputs that together are four times the second-level cache: each is cold when it comes."""
    copies = max(2, -(-4 * device.l2_bytes // setting.bytes_of_x))
    return Problem.random(setting.shape, setting.dtype, setting.device, copies)


def around(problem: Problem, function: Sublayer, backward: bool) -> Callable[[], Tensors]:
    """`function` on each x; all results are kept, so that none overwrites another."""
    call = problem.calls("both" if backward else "forward")(function)

    def calls() -> Tensors:
        results = [call() for _ in problem.xs]
        flat = ((r,) if isinstance(r, Tensor) else r for r in results)
        return [t for tensors in flat for t in tensors if t is not None]

    return calls


def race(
    report: Report,
    what: str,
    entries: Entries,
    problem: Problem,
    device: Device,
    backward: bool = False,
) -> dict[str, Timing]:
    """Capture each, then replay all in shuffled rounds. Times are per x."""
    replays: dict[str, Call] = {}
    kept = []  # the results: memory of the graphs, not to be handed to others
    for name, (contestant, function) in entries.items():
        prepared(contestant, None)()
        calls = around(problem, function, backward)
        try:
            replays[name], result = device.capture(calls) if contestant.captures else (calls, [])
        except Exception as failure:
            if name in NEEDED:
                raise
            report.absent(what, name, f"capture: {reason(failure)}")
            continue
        kept.append(result)
    names, order = list(replays), random.Random(0)
    taken: dict[str, list[float]] = {name: [] for name in names}
    rounds = 3 if device.rehearsal else 25
    for done in range(-3, rounds):  # the first warm up
        order.shuffle(names)
        seconds = device.seconds([replays[name] for name in names])
        for name, spent in zip(names, seconds, strict=True):
            if done >= 0:
                taken[name].append(spent / len(problem.xs))
    return {name: Timing(tuple(spent)) for name, spent in taken.items()}


def exact(contestant: Contestant, function: nn.Module) -> nn.Module:
    """What a module has to compute: itself in float64, which only torch's own choice knows."""
    twin: Any = copy.deepcopy(function).double()
    for part in twin.modules():
        if hasattr(part, "backend"):
            part.backend = None
    if contestant.name == "layer: ours":
        twin.mixing = definition
    return cast(nn.Module, twin)


def compare(
    report: Report,
    what: str,
    contestants: list[Contestant],
    setting: Setting,
    device: Device,
) -> dict[str, Timing]:
    """All contestants on one setting. One that fails, or is wrong, or does not fit is no rival."""
    torch.compiler.reset()
    problem = ring(setting, device)
    mixed = Truth(problem, backward=setting.backward)
    entries: Entries = {}
    for contestant in sorted(contestants, key=lambda c: c.name not in NEEDED):
        name = contestant.name
        try:
            if name.endswith("compiled") and report.left < SPARE.get(name, 0):
                raise Absent("no time left to compile it")
            function = contestant.build(setting)
            prepared(contestant, None)()
            truth = mixed if contestant.role in SAME else None
            if isinstance(function, nn.Module):
                truth = Truth(problem, exact(contestant, function), backward=setting.backward)
            if truth is not None:  # else a floor
                truth.check(contestant, truth.result(function))
        except Exception as failure:
            if name in NEEDED:
                raise
            report.absent(what, name, reason(failure))
            continue
        entries[name] = (contestant, function)
    return race(report, what, entries, problem, device, setting.backward)


def forward(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Forward against all; the bars are for bf16."""
    ours, where = best_of_ours(device.type), place(setting)
    times = compare(report, what, chosen(ours, *RIVALS), setting, device)
    report.times(what, times, ours, 2 * setting.bytes_of_x)
    if setting.dtype != torch.bfloat16:
        return
    if setting.shape == BASE or device.rehearsal:
        for target, rival in ((FORMULA, "fftn"), (COMPILED, "fftn compiled")):
            if rival in times:
                report.check(target, times[rival].over(times[ours]), where=where, against=rival)
        copy = fastest(times, COPIES)
        report.check(ROOFLINE, times[ours].over(times[copy]), where=where, against=copy)
    kernels = [name for name in ATTENTIONS if name in times]
    for seq, target in ATTENTION.items():
        here = setting.shape in (BASE, LONG) and setting.shape[1] == seq
        if kernels and (here or device.rehearsal):
            rival = fastest(times, kernels)
            report.check(target, times[rival].over(times[ours]), where=where, against=rival)


def step(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Forward and backward; the one compiled form is the formula, for the time it takes."""
    ours = best_of_ours(device.type)
    rivals = [n for n in RIVALS if not n.endswith("compiled") or n == "fftn compiled"]
    times = compare(report, what, chosen(ours, *rivals), setting, device)
    report.times(what, times, ours)


def general_path(report: Report, what: str, setting: Setting, device: Device) -> None:
    """A length without kernels of ours: what the path around cuFFT gains over the formula."""
    ours = best_of_ours(device.type)
    field = chosen(ours, "fftn", "rfft2 + mirror", *COPIES)
    times = compare(report, what, field, setting, device)
    report.times(what, times, ours, 2 * setting.bytes_of_x)


def layer(report: Report, what: str, setting: Setting, device: Device) -> None:
    """A whole encoder layer with our mixing, and with others or less in its place."""
    ours, rival = "layer: ours", "layer: LayerNorm(x)"
    times = compare(report, what, LAYERS, setting, device)
    report.times(what, times, ours)
    report.check(LAYER, times[ours].over(times[rival]), where=place(setting), against=rival)


def memory(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Peak memory beyond what the result, and what autograd saved, hold; over x in fp32."""
    ours = best_of_ours(device.type)
    problem = Problem.random(setting.shape, setting.dtype, setting.device)
    found: dict[str, float] = {}
    report.content["memory"][what] = found
    for name in (ours, "fftn"):
        function = made(name, setting)
        for _ in ("tables and plans come", "and stay"):
            sizes = cases(problem, function, device.extra_bytes)
        found |= {f"{name}, {case}": size / (4 * problem.x.numel()) for case, size in sizes.items()}
    print(table(["", "of x in fp32"], [[case, f"{v:.2f}"] for case, v in found.items()]))
    worst = max((case for case in found if case.startswith(ours)), key=lambda case: found[case])
    report.check(MEMORY, (found[worst],) * 3, where=place(setting), against=worst)


def kernels(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Which kernels run in our op, how often and how long, by torch.profiler (warm caches)."""
    problem = Problem.random(setting.shape, setting.dtype, setting.device)
    function = made(best_of_ours(device.type), setting)
    calls = {"forward": problem.forward(function), "step": problem.step(function)}
    for case, call in calls.items():
        found = report.content["kernels"][f"{what}, {case}"] = device.kernels(call)
        rows = [[n[:90], f"{k['launches']:g}", f"{k['us']:.1f}"] for n, k in found.items()]
        print(table([case, "launches", "us"], rows[:12]), flush=True)


def first_times(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Ours beside a copy, and nothing that could go wrong: forward, then forward and backward."""
    ours = best_of_ours(device.type)
    times = compare(report, what, chosen(ours, *COPIES), setting, device)
    report.times(what, times, ours, None if setting.backward else 2 * setting.bytes_of_x)


Measure = Callable[[Report, str, Setting, Device], None]


@dataclass(frozen=True)
class Case:
    """What is measured, how it is called, and on what."""

    measure: Measure
    name: str
    shape: Shape
    dtype: torch.dtype
    backward: bool = False


def cases_of(
    measure: Measure, name: str, shapes: Iterable[Shape], *dtypes: torch.dtype
) -> list[Case]:
    return [Case(measure, name, s, d, measure is step) for d in dtypes for s in shapes]


_BF16, _FP32 = DTYPES
#: What --part takes, in the order of worth: of what has targets, forward before backward before
#: memory; then the rest.
PARTS: dict[str, list[Case]] = {
    "first times": [
        Case(first_times, "first times", BASE, _BF16),
        Case(first_times, "first times, forward + backward", BASE, _BF16, True),
    ],
    "forward bf16": cases_of(forward, "forward", [BASE], _BF16),
    "forward bf16 long": cases_of(forward, "forward", [LONG], _BF16),
    "layer bf16": cases_of(layer, "encoder layer", [BASE], _BF16),
    "forward fp32": cases_of(forward, "forward", [BASE, LONG], _FP32),
    "step bf16": cases_of(step, "forward + backward", [BASE], _BF16),
    "step bf16 long": cases_of(step, "forward + backward", [LONG], _BF16),
    "memory": cases_of(memory, "memory", SHAPES, _BF16, _FP32),
    "kernels": cases_of(kernels, "kernels", [BASE], _BF16, _FP32),
    "step fp32": cases_of(step, "forward + backward", [BASE, LONG], _FP32),
    "general path": cases_of(general_path, "general path", [UNLISTED], _BF16),
    "forward, other shapes": cases_of(forward, "forward", SHAPES[2:], _BF16, _FP32),
    "step, other shapes": cases_of(step, "forward + backward", SHAPES[2:], _BF16, _FP32),
}


def run(report: Report, device: Device, parts: Iterable[str]) -> None:
    """The parts, at tiny shapes in a rehearsal."""
    done: set[str] = set()
    for case in (case for part in parts for case in PARTS[part]):
        shape = case.shape
        if device.rehearsal:
            shape = (2, 17, 64) if case.shape == UNLISTED else REHEARSED[0]
        setting = Setting(shape, case.dtype, device.type, case.backward)
        what = f"{case.name}, {place(setting)}"
        if what not in done:  # a rehearsal has one shape for many
            measure = partial(case.measure, report, what, setting, device)
            report.part(what, measure)
        done.add(what)


def main() -> int:
    """Exit status 0 when everything ran and every bar is kept; in a rehearsal, when it ran."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=900.0, help="no case starts after these")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    parser.add_argument("--rehearse", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--part", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--merge", nargs="+", type=Path, metavar="FILE", help="measure nothing")
    args = parser.parse_args()
    if args.merge:
        print(merge(args.merge, args.out))
        return 0
    if not args.rehearse and not torch.cuda.is_available():
        print("there is no CUDA device here; --rehearse runs on the CPU")
        return 2
    device: Device = Host() if args.rehearse else Cuda()
    if device.rehearsal:  # compiling would take longer than all the rest
        torch.compiler.set_stance("force_eager")
    path = args.out / f"{device.slug()}.json"
    report = Report(device, path, args.seconds, TARGETS, resume=bool(args.part))
    print(json.dumps({k: report.content[k] for k in ("machine", "state_at_start")}, indent=1))
    run(report, device, args.part or PARTS)
    report.content["state_at_end"] = device.state()
    report.write()
    print(f"\n{report.summary()}\nwritten: {path}")
    if args.part:  # a part answers for itself: whether a target is kept is for the whole
        return int(report.failed)
    return int(report.failed or bool(report.unmeasured) or not (device.rehearsal or report.all_met))


if __name__ == "__main__":
    sys.exit(main())
