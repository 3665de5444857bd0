"""Measure the GPU targets of this project: `python -m bench.gpu`.

First checks the result of every contestant against float64. Then captures each in a CUDA graph over
a ring of inputs that exceeds L2 several times, and replays the graphs in interleaved rounds between
CUDA events: cold caches, no launch overhead, medians and quartiles. Writes results/<gpu>.json after
every part and prints a table of targets at the end.

    python -m bench.gpu                         all parts, in this process
    python -m bench.gpu --part "forward bf16"   some parts, added to the figures in the file
    python -m bench.gpu --merge a.json b.json   merge the figures of several runs into one file

If a part kills its process, the file records that it began and did not end.
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

from bench.arguments import duration, run_main
from bench.contestants.registry import CONTESTANTS, LAYERS, SAME, Contestant, best_of_ours
from bench.contestants.setting import Absent, Setting, Sublayer, reason
from bench.folders import add_gpu_out, gpu_out, is_writable
from bench.gpu.device import Call, Cuda, Device, Host, Tensors
from bench.gpu.report import COPIES, Report, fastest, merge
from bench.measure.memory import cases
from bench.measure.timing import Entries, Problem, Reference, definition, prepared
from bench.shapes import Shape, label
from bench.targets.target import Target
from fnet_kernels._terminal import table
from fnet_kernels._timing import Timing

BASE: Shape = (32, 512, 768)
LONG: Shape = (4, 4096, 768)
SHAPES: list[Shape] = [BASE, LONG, (8, 2048, 768), (32, 512, 1024)]
UNLISTED: Shape = (32, 509, 768)  # a prime length: the general path, around cuFFT
REHEARSED: list[Shape] = [(2, 16, 64)]
DTYPES = {torch.bfloat16: "bf16", torch.float32: "fp32"}

FORMULA = Target("forward: formula / ours", 10.0, True)  # all targets are for an H100, in bf16
COMPILED = Target("forward: compiled formula / ours", 6.0, True)
ROOFLINE = Target("forward: ours / copy of x", 1.5, False)
ATTENTION = {
    512: Target("forward, N = 512: attention / ours", 5.0, True),
    4096: Target("forward, N = 4096: attention / ours", 20.0, True),
}
LAYER = Target("layer / layer with LayerNorm(x) alone", 1.05, False)
MEMORY = Target("extra memory / x in fp32", 0.5, False)
TARGETS = [FORMULA, COMPILED, ROOFLINE, *ATTENTION.values(), LAYER, MEMORY]

ATTENTIONS = [c.name for c in CONTESTANTS if c.role == "attention"]
#: The alternatives. Other forms of the formula would take too much time.
RIVALS = [
    *("ours, cuFFT path", "fftn", "fftn compiled", "rfft2 + mirror", "rfft2 + mirror compiled"),
    *("fold", "fold compiled", "matmul bf16", "layer_norm(x + x)", "copy", "copy by a kernel"),
    *ATTENTIONS,
    "CuPy",  # launched instead of captured, so its launches count
]
#: Required for a comparison: measured first, and a failure of one ends the part.
NEEDED = [*map(best_of_ours, ("cpu", "cuda")), "copy", "layer: ours", "layer: LayerNorm(x)"]
#: The fraction of the time that must be left to compile an alternative; 0 if not listed.
SPARE = {"rfft2 + mirror compiled": 0.4, "fold compiled": 0.5}


def place(setting: Setting) -> str:
    """`32x512x768 bf16`."""
    return f"{label(setting.shape)} {DTYPES[setting.dtype]}"


def chosen(*names: str) -> list[Contestant]:
    """The contestants with these names, in this order."""
    known = {c.name: c for c in CONTESTANTS}
    return [known[name] for name in names]


def made(name: str, setting: Setting) -> Sublayer:
    """The function of a contestant that must exist."""
    (contestant,) = chosen(name)
    function = contestant.build(setting)
    prepared(contestant, None)()
    return function


def ring(setting: Setting, device: Device) -> Problem:
    """Inputs of four times the size of L2 in total, so that each use is cold."""
    copies = max(2, -(-4 * device.l2_bytes // setting.bytes_of_x))
    return Problem.random(setting.shape, setting.dtype, setting.device, copies)


def around(problem: Problem, function: Sublayer, backward: bool) -> Callable[[], Tensors]:
    """Return a call of `function` on every x that keeps all results in separate memory."""
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
    """Capture each contestant, then replay all in shuffled rounds. Times are per x."""
    replays: dict[str, Call] = {}
    kept = []  # the results, so that the graphs' memory is not reused
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
    for done in range(-3, rounds):  # the first three are warm-up
        order.shuffle(names)
        seconds = device.seconds([replays[name] for name in names])
        for name, spent in zip(names, seconds, strict=True):
            if done >= 0:
                taken[name].append(spent / len(problem.xs))
    return {name: Timing(tuple(spent)) for name, spent in taken.items()}


def exact(contestant: Contestant, function: nn.Module) -> nn.Module:
    """The reference of a module, compiled or not: a copy in float64, by any SDPA kernel."""
    twin: Any = copy.deepcopy(getattr(function, "_orig_mod", function)).double()
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
    """Time all contestants on one setting, without those that fail or are wrong."""
    torch.compiler.reset()
    problem = ring(setting, device)
    mixed = Reference(problem, backward=setting.backward)
    entries: Entries = {}
    for contestant in sorted(contestants, key=lambda c: c.name not in NEEDED):
        name = contestant.name
        try:
            if name.endswith("compiled") and report.left < SPARE.get(name, 0):
                raise Absent("no time left to compile it")
            function = contestant.build(setting)
            prepared(contestant, None)()
            expected = mixed if contestant.role in SAME else None
            if isinstance(function, nn.Module):
                expected = Reference(
                    problem, exact(contestant, function), backward=setting.backward
                )
            if expected is not None:  # None for a floor
                expected.check(contestant, expected.result(function))
        except Exception as failure:
            if name in NEEDED:
                raise
            report.absent(what, name, reason(failure))
            continue
        entries[name] = (contestant, function)
    return race(report, what, entries, problem, device, setting.backward)


def forward(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Compare forward with all alternatives; the targets are for bf16."""
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
        applies = setting.shape in (BASE, LONG) and setting.shape[1] == seq
        if kernels and (applies or device.rehearsal):
            rival = fastest(times, kernels)
            report.check(target, times[rival].over(times[ours]), where=where, against=rival)


def step(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Compare forward and backward with all alternatives."""
    ours = best_of_ours(device.type)
    times = compare(report, what, chosen(ours, *RIVALS), setting, device)
    report.times(what, times, ours)


def general_path(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Compare our general path, around cuFFT, with the formula at a length without kernels."""
    ours = best_of_ours(device.type)
    field = chosen(ours, "fftn", "rfft2 + mirror", *COPIES)
    times = compare(report, what, field, setting, device)
    report.times(what, times, ours, 2 * setting.bytes_of_x)


def layer(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Compare encoder layers with our mixing, with alternatives and without mixing."""
    ours, rival = "layer: ours", "layer: LayerNorm(x)"
    times = compare(report, what, LAYERS, setting, device)
    report.times(what, times, ours)
    report.check(LAYER, times[ours].over(times[rival]), where=place(setting), against=rival)


def memory(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Peak memory without the result and the saved tensors, as a fraction of x in fp32."""
    ours = best_of_ours(device.type)
    problem = Problem.random(setting.shape, setting.dtype, setting.device)
    found: dict[str, float] = {}
    report.content["memory"][what] = found
    for name in (ours, "fftn"):
        function = made(name, setting)
        for _ in ("creates tables and plans", "is measured"):
            sizes = cases(problem, function, device.extra_bytes)
        found |= {f"{name}, {case}": size / (4 * problem.x.numel()) for case, size in sizes.items()}
    print(table(["", "of x in fp32"], [[case, f"{v:.2f}"] for case, v in found.items()]))
    worst = max((case for case in found if case.startswith(ours)), key=lambda case: found[case])
    report.check(MEMORY, (found[worst],) * 3, where=place(setting), against=worst)


def kernels(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Names, launches and times of the kernels in our operator, by torch.profiler (warm caches)."""
    problem = Problem.random(setting.shape, setting.dtype, setting.device)
    function = made(best_of_ours(device.type), setting)
    calls = {"forward": problem.forward(function), "step": problem.step(function)}
    for case, call in calls.items():
        found = report.content["kernels"][f"{what}, {case}"] = device.kernels(call)
        rows = [[n[:90], f"{k['launches']:g}", f"{k['us']:.1f}"] for n, k in found.items()]
        print(table([case, "launches", "us"], rows[:12]), flush=True)


def first_times(report: Report, what: str, setting: Setting, device: Device) -> None:
    """Time ours and a copy only: forward, or forward and backward."""
    ours = best_of_ours(device.type)
    times = compare(report, what, chosen(ours, *COPIES), setting, device)
    report.times(what, times, ours, None if setting.backward else 2 * setting.bytes_of_x)


Measure = Callable[[Report, str, Setting, Device], None]


@dataclass(frozen=True)
class Case:
    """One measurement: the function, its name in the file, and the setting."""

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
#: The choices of --part by importance: the usual shapes, then the rest.
PARTS: dict[str, list[Case]] = {
    "first times": [
        Case(first_times, "first times", BASE, _BF16),
        Case(first_times, "first times, forward + backward", BASE, _BF16, True),
    ],
    "forward bf16": cases_of(forward, "forward", [BASE], _BF16),
    "forward bf16 long": cases_of(forward, "forward", [LONG], _BF16),
    "step bf16": cases_of(step, "forward + backward", [BASE], _BF16),
    "step bf16 long": cases_of(step, "forward + backward", [LONG], _BF16),
    "kernels": cases_of(kernels, "kernels", [BASE], _BF16, _FP32),
    "step fp32": cases_of(step, "forward + backward", [BASE, LONG], _FP32),
    "forward fp32": cases_of(forward, "forward", [BASE, LONG], _FP32),
    "layer bf16": cases_of(layer, "encoder layer", [BASE], _BF16),
    "memory": cases_of(memory, "memory", SHAPES, _BF16, _FP32),
    "general path": cases_of(general_path, "general path", [UNLISTED], _BF16),
    "forward, other shapes": cases_of(forward, "forward", SHAPES[2:], _BF16, _FP32),
    "step, other shapes": cases_of(step, "forward + backward", SHAPES[2:], _BF16, _FP32),
}


def run(report: Report, device: Device, parts: Iterable[str]) -> None:
    """Run the parts, at tiny shapes in a rehearsal."""
    done: set[str] = set()
    for case in (case for part in parts for case in PARTS[part]):
        shape = case.shape
        if device.rehearsal:
            shape = (2, 17, 64) if case.shape == UNLISTED else REHEARSED[0]
        setting = Setting(shape, case.dtype, device.type, case.backward)
        what = f"{case.name}, {place(setting)}"
        if what not in done:  # a rehearsal uses one shape for many
            measure = partial(case.measure, report, what, setting, device)
            report.part(what, measure)
        done.add(what)


def _merged(files: list[Path], out: Path) -> int:
    """Merge the files and print the path. Returns 2, with one line, if that cannot be done."""
    if not is_writable(out, "bench.gpu"):
        return 2
    try:
        print(merge(files, out))
    except (OSError, ValueError) as error:  # missing, no JSON, or of another device
        print(f"bench.gpu: error: --merge: {error}", file=sys.stderr)
        return 2
    return 0


def main(argv: list[str] | None = None) -> int:
    """Returns 0 if everything ran and all targets are met, which a rehearsal does not require."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=duration, default=900.0, help="no case starts later than this"
    )
    add_gpu_out(parser, "tiny shapes")
    parser.add_argument("--part", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--merge",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="merge these files and measure nothing",
    )
    args = parser.parse_args(argv)
    out = gpu_out(args)
    if args.merge:
        return _merged(args.merge, out)
    if not args.rehearse and not torch.cuda.is_available():
        print("torch finds no CUDA device; --rehearse runs on the CPU")
        return 2
    if not is_writable(out, "bench.gpu"):
        return 2
    device: Device = Host() if args.rehearse else Cuda()
    if device.rehearsal:  # compiling would take longer than everything else
        torch.compiler.set_stance("force_eager")
    path = out / f"{device.slug()}.json"
    try:
        report = Report(device, path, args.seconds, TARGETS, resume=bool(args.part))
    except ValueError as error:
        print(f"bench.gpu: error: --out: {error}", file=sys.stderr)
        return 2
    print(json.dumps({k: report.content[k] for k in ("machine", "state_at_start")}, indent=1))
    run(report, device, args.part or PARTS)
    report.content["state_at_end"] = device.state()
    report.write()
    print(f"\n{report.summary()}\nwritten: {path}")
    if args.part:  # targets count only for a run of all parts
        return int(report.failed)
    return int(report.failed or bool(report.unmeasured) or not (device.rehearsal or report.all_met))


if __name__ == "__main__":
    run_main(main)
