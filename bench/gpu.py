"""The bars of this project on a GPU, measured: `python bench/gpu.py`.

Every contestant's result is held against float64 first. Then each is captured as a CUDA graph over
a ring of inputs that together exceed the second-level cache several times, and the graphs are
replayed in interleaved rounds between CUDA events: cold caches, no launch overhead for anyone,
medians and quartiles. Prints a table of bars last and writes results/<gpu>.json after every part.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import platform
import random
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gpu_device import Call, Cuda, Device, Host, Tensors
from gpu_sublayers import CONTESTANTS, EPS, Contestant, definition, encoder_layers
from torch import Tensor, nn

import fnet_kernels
from fnet_kernels import reference
from fnet_kernels._table import table
from fnet_kernels._timing import Timing

Shape = tuple[int, int, int]
BASE: Shape = (32, 512, 768)
LONG: Shape = (4, 4096, 768)
SHAPES: list[Shape] = [BASE, LONG, (8, 2048, 768), (32, 512, 1024)]
UNLISTED: Shape = (32, 509, 768)  # a prime length: our general path, around cuFFT
REHEARSED: list[Shape] = [(2, 16, 64)]
DTYPES = {torch.bfloat16: "bf16", torch.float32: "fp32"}
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # max |error| over max |exact|
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Bar:
    """A promise: a ratio that must be at least, or at most, `limit`. Set for the H100."""

    name: str
    limit: float
    at_least: bool

    def verdict(self, where: str, ratio: tuple[float, float, float], note: str) -> dict[str, Any]:
        """The measured ratio (first quartile, median, third) held against the limit."""
        low, middle, high = ratio
        kept = middle >= self.limit if self.at_least else middle <= self.limit
        limit = f"{'>=' if self.at_least else '<='} {self.limit:g}"
        what = {"bar": self.name, "where": where, "against": note, "limit": limit}
        return what | {"measured": middle, "q1": low, "q3": high, "pass": kept}


FORMULA = Bar("forward: formula / ours", 10.0, True)
COMPILED = Bar("forward: compiled formula / ours", 6.0, True)
ROOFLINE = Bar("forward: ours / copy of x", 1.5, False)
ATTENTION = {
    512: Bar("forward, N = 512: attention / ours", 5.0, True),
    4096: Bar("forward, N = 4096: attention / ours", 20.0, True),
}
LAYER = Bar("layer / layer without mixing", 1.05, False)
MEMORY = Bar("extra memory / x in fp32", 0.5, False)
PROMISES = {bar.name for bar in (FORMULA, COMPILED, ROOFLINE, *ATTENTION.values(), LAYER, MEMORY)}


def label(shape: Shape, dtype: torch.dtype) -> str:
    """`32x512x768 bf16`."""
    return f"{'x'.join(map(str, shape))} {DTYPES[dtype]}"


def one_line(error: Exception) -> str:
    """What an error says first."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


class Report:
    """What was measured, what was not and why; on disk after every part."""

    def __init__(self, device: Device, path: Path, seconds: float) -> None:
        self.path = path
        self.end = time.monotonic() + seconds
        self.failed = False
        self.content: dict[str, Any] = {
            "machine": device.facts()
            | {"torch": torch.__version__, "fnet_kernels": fnet_kernels.__version__}
            | {"python": platform.python_version()}
            | {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")},
            "state_at_start": device.state(),
            "times": {},
            "kernels": {},
            "memory": {},
            "absent": {},
            "not_run": {},
            "bars": [],
        }

    def part(self, what: str, run: Callable[[], None]) -> None:
        """Run one part of the work; its failure, or the lack of time, is written down."""
        print(f"\n{what}", flush=True)
        if time.monotonic() > self.end:
            self.not_run(what, "no time left")
        else:
            try:
                run()
            except Exception as error:  # the other parts still have something to say
                traceback.print_exc(file=sys.stdout)
                self.failed = True
                self.not_run(what, f"{type(error).__name__}: {error}")
        self.write()

    def not_run(self, what: str, why: str) -> None:
        print(f"not run: {why}")
        self.content["not_run"][what] = why

    def absent(self, what: str, contestant: str, why: str) -> None:
        print(f"absent: {contestant}: {why}")
        self.content["absent"].setdefault(what, {})[contestant] = why

    def add(self, verdict: dict[str, Any]) -> None:
        self.content["bars"].append(verdict)

    def times(self, what: str, times: Mapping[str, Timing], x: Tensor, moved: bool) -> None:
        """Keep the times of one comparison and print them, fastest first.

        `moved`: reading x and writing y is all that has to be moved, so GB/s mean something.
        """
        rows = self.content["times"][what] = {}
        for name, timing in sorted(times.items(), key=lambda item: item[1].median):
            low, middle, high = (1e6 * t for t in timing.quartiles)
            row = {"median_us": middle, "q1_us": low, "q3_us": high, "rounds": len(timing.seconds)}
            if moved:
                row["gb_per_s"] = 2 * x.nbytes / timing.median / 1e9
                if "copy" in times:
                    row["of_copy"] = 1 / timing.over(times["copy"])[1]
            if "ours" in times:
                row["over_ours"] = timing.over(times["ours"])[1]
            rows[name] = row
        columns = ["median_us", "q1_us", "q3_us", "gb_per_s", "of_copy", "over_ours"]
        columns = [c for c in columns if any(c in row for row in rows.values())]
        cells = [
            [name, *(f"{row[c]:.2f}" if c in row else "" for c in columns)]
            for name, row in rows.items()
        ]
        print(table(["", *columns], cells), flush=True)

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=1) + "\n")

    def summary(self) -> str:
        """A row per bar: what was measured, its quartiles, pass or FAIL."""
        rows = []
        for v in self.content["bars"]:
            measured = f"{v['measured']:.2f}"
            if v["q1"] != v["q3"]:
                measured += f" ({v['q1']:.2f} to {v['q3']:.2f})"
            ends = [v["limit"], measured, "pass" if v["pass"] else "FAIL"]
            rows.append([v["bar"], v["where"], v["against"], *ends])
        return table(["bar", "where", "against", "limit", "measured", ""], rows, left=3)


def ring(shape: Shape, dtype: torch.dtype, device: Device) -> list[Tensor]:
    """Inputs that together are four times the second-level cache: each is cold when it comes."""
    torch.manual_seed(0)
    first = torch.randn(shape, device=device.type).to(dtype)
    count = max(2, -(-4 * device.l2_bytes // first.nbytes))
    return [first] + [torch.randn(shape, device=device.type).to(dtype) for _ in range(count - 1)]


def check(
    contestant: Contestant, module: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor
) -> None:
    """The result, or under autograd the gradient of x, against float64, sequence by sequence."""

    def gradient(call: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> Tensor:
        leaf = x.detach().requires_grad_(torch.is_grad_enabled())
        y = call(leaf)
        return torch.autograd.grad(y, leaf, grad)[0] if torch.is_grad_enabled() else y

    if contestant.mixes:
        weight, bias = module.weight.double(), module.bias.double()
        exact = lambda x: reference.fused_fourier_mix(x, weight, bias, EPS)  # noqa: E731
    else:
        exact = definition(module)
    grad = torch.randn(x.shape, device=x.device).to(x.dtype)
    found = gradient(function, x, grad)
    error = largest = 0.0
    for i in range(len(x)):
        truth = gradient(exact, x[i : i + 1].double(), grad[i : i + 1].double()).detach()
        difference = (found[i : i + 1].detach().double() - truth).abs()
        error = max(error, float(difference.nan_to_num(nan=float("inf")).max()))
        largest = max(largest, float(truth.abs().max()))
    if not error <= TOLERANCE[x.dtype] * largest:
        raise ArithmeticError(f"{contestant.name}: relative error {error / largest:.1e}")


def forward_over(function: Callable[[Tensor], Tensor], xs: list[Tensor]) -> Callable[[], Tensors]:
    """A call of `function` on each input; all results are kept, so that none overwrites another."""

    def call() -> Tensors:
        with torch.no_grad():
            return [function(x) for x in xs]

    return call


def step_over(
    function: Callable[[Tensor], Tensor], module: nn.Module, xs: list[Tensor]
) -> Callable[[], Tensors]:
    """Forward and backward on each input: the gradients of x and of all parameters."""
    leaves = [x.detach().requires_grad_() for x in xs]
    parameters = list(module.parameters())
    grads = [torch.randn_like(x) for x in xs]

    def call() -> Tensors:
        found: list[Tensor] = []
        for leaf, grad in zip(leaves, grads, strict=True):
            found += torch.autograd.grad(function(leaf), [leaf, *parameters], grad)
        return found

    return call


#: What a comparison is worth nothing without. Measured first; only these may end a part.
NEEDED = ("ours", "copy", "layer: ours", "layer: mixing removed, LayerNorm(x)")


def race(
    report: Report,
    what: str,
    calls: Mapping[str, Callable[[], Tensors]],
    device: Device,
    size: int,
) -> dict[str, Timing]:
    """Capture each call, then replay all in shuffled rounds. Times are per input of `size`."""
    replays: dict[str, Call] = {}
    kept = []  # the results: memory of the graphs, not to be handed to others
    for name in sorted(calls, key=lambda name: name not in NEEDED):
        try:
            replays[name], result = device.capture(calls[name])
        except Exception as error:
            if name in NEEDED:
                raise
            report.absent(what, name, f"capture: {one_line(error)}")
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
                taken[name].append(spent / size)
    return {name: Timing(tuple(spent)) for name, spent in taken.items()}


def compare(
    report: Report,
    what: str,
    contestants: list[Contestant],
    shape: Shape,
    dtype: torch.dtype,
    device: Device,
    training: bool,
) -> dict[str, Timing]:
    """All contestants at one shape and dtype, forward alone or with backward."""
    torch.compiler.reset()
    xs = ring(shape, dtype, device)
    calls = {}
    for contestant in sorted(contestants, key=lambda c: c.name not in NEEDED):
        if training and not contestant.trains:
            continue
        if contestant.compiled and time.monotonic() > report.end:
            report.absent(what, contestant.name, "no time left to compile it")
            continue
        try:
            module, function = contestant.build(xs[0], device, training)
            with torch.set_grad_enabled(training):
                check(contestant, module, function, xs[0])
        except Exception as reason:  # one that is wrong, or out of memory, is no rival
            if contestant.name in NEEDED:
                raise
            report.absent(what, contestant.name, one_line(reason))
            continue
        calls[contestant.name] = (
            step_over(function, module, xs) if training else forward_over(function, xs)
        )
    times = race(report, what, calls, device, len(xs))
    report.times(what, times, xs[0], moved=not training)
    return times


def best_attention(times: Mapping[str, Timing]) -> str | None:
    """The fastest of attention's backends here."""
    found = [name for name in times if name.startswith("attention")]
    return min(found, key=lambda name: times[name].median, default=None)


def forward(report: Report, what: str, shape: Shape, dtype: torch.dtype, device: Device) -> None:
    """Forward against all; the bars are for bf16."""
    times = compare(report, what, CONTESTANTS, shape, dtype, device, training=False)
    ours, where = times["ours"], label(shape, dtype)
    if dtype != torch.bfloat16:
        return
    if shape == BASE or device.rehearsal:
        for bar, name in ((FORMULA, "formula"), (COMPILED, "formula compiled")):
            if name in times:
                report.add(bar.verdict(where, times[name].over(ours), name))
        report.add(ROOFLINE.verdict(where, ours.over(times["copy"]), "copy"))
    rival = best_attention(times)
    for seq, bar in ATTENTION.items():
        if rival and (device.rehearsal or (shape in (BASE, LONG) and shape[1] == seq)):
            report.add(bar.verdict(where, times[rival].over(ours), rival))


def step(report: Report, what: str, shape: Shape, dtype: torch.dtype, device: Device) -> None:
    """Forward and backward; the one compiled form is the formula, for the time it takes."""
    contestants = [c for c in CONTESTANTS if not c.compiled or c.name == "formula compiled"]
    compare(report, what, contestants, shape, dtype, device, training=True)


def general_path(report: Report, what: str, device: Device) -> None:
    """A length without kernels of ours: what the path around cuFFT gains over the formula."""
    chosen = [c for c in CONTESTANTS if c.name in ("ours", "formula", "rfft2 + mirror", "copy")]
    shape = (2, 17, 64) if device.rehearsal else UNLISTED
    compare(report, what, chosen, shape, torch.bfloat16, device, training=False)


def layer(report: Report, what: str, shape: Shape, dtype: torch.dtype, device: Device) -> None:
    """A whole encoder layer with our mixing, and with less in its place."""
    xs = ring(shape, dtype, device)
    layers = encoder_layers(shape[-1], dtype, device)
    with torch.no_grad():
        found = layers["layer: ours"](xs[0])[:1].double()
        exact = copy.deepcopy(layers["layer: formula"]).double()(xs[0][:1].double())
    if not (found - exact).abs().max() <= TOLERANCE[dtype] * exact.abs().max():
        raise ArithmeticError("the layer with our mixing computes something else")
    calls = {n: forward_over(m, xs) for n, m in layers.items()}
    times = race(report, what, calls, device, len(xs))
    report.times(what, times, xs[0], moved=False)
    rival = "layer: mixing removed, LayerNorm(x)"
    ratio = times["layer: ours"].over(times[rival])
    report.add(LAYER.verdict(label(shape, dtype), ratio, "LayerNorm(x) in its place"))


def memory(report: Report, what: str, shape: Shape, dtype: torch.dtype, device: Device) -> None:
    """Peak memory beyond what the result, and what autograd saved, hold; over x in fp32."""
    found = report.content["memory"][what] = {}
    x = ring(shape, dtype, device)[0]
    for contestant in CONTESTANTS:
        if contestant.name not in ("ours", "formula"):
            continue
        module, function = contestant.build(x, device, training=True)  # tables, plans: in place
        leaf, grad = x.detach().requires_grad_(), torch.randn_like(x)
        for parameter in module.parameters():
            parameter.requires_grad_()
        y = function(leaf)
        wanted = [leaf, *module.parameters()]
        torch.autograd.grad(y, wanted, grad, retain_graph=True)
        cases: dict[str, Call] = {
            "forward": forward_over(function, [x]),
            "training forward": lambda function=function, leaf=leaf: function(leaf),
            "backward": lambda y=y, wanted=wanted, grad=grad: torch.autograd.grad(
                y, wanted, grad, retain_graph=True
            ),
        }
        for case, call in cases.items():
            found[f"{contestant.name}, {case}"] = device.extra_bytes(call) / (4 * x.numel())
    print(table(["", "of x in fp32"], [[case, f"{v:.2f}"] for case, v in found.items()]))
    ours = {case: value for case, value in found.items() if case.startswith("ours")}
    worst = max(ours, key=lambda case: ours[case])
    report.add(MEMORY.verdict(label(shape, dtype), (ours[worst],) * 3, worst))


def kernels(report: Report, what: str, shape: Shape, dtype: torch.dtype, device: Device) -> None:
    """Which kernels run in our op, how often and how long, by torch.profiler (warm caches)."""
    x = ring(shape, dtype, device)[0]
    ours = next(c for c in CONTESTANTS if c.name == "ours")
    module, function = ours.build(x, device, training=True)
    calls = {"forward": forward_over(function, [x]), "step": step_over(function, module, [x])}
    for case, call in calls.items():
        found = report.content["kernels"][f"{what}, {case}"] = device.kernels(call)
        rows = [[n[:90], f"{k['launches']:g}", f"{k['us']:.1f}"] for n, k in found.items()]
        print(table([case, "launches", "us"], rows[:12]), flush=True)


def run(report: Report, device: Device) -> None:
    """Every part, those with bars first."""
    shapes = REHEARSED if device.rehearsal else SHAPES
    base = shapes[0]

    def each(name: str, part: Callable[..., None], shapes: list[Shape], dtype: torch.dtype) -> None:
        for shape in shapes:
            what = f"{name}, {label(shape, dtype)}"
            report.part(what, lambda what=what, s=shape: part(report, what, s, dtype, device))

    each("memory", memory, shapes, torch.bfloat16)
    each("memory", memory, shapes, torch.float32)
    each("forward", forward, shapes[:2], torch.bfloat16)
    each("encoder layer", layer, [base], torch.bfloat16)
    each("kernels", kernels, [base], torch.bfloat16)
    each("kernels", kernels, [base], torch.float32)
    each("forward", forward, [base], torch.float32)
    each("forward + backward", step, [base], torch.bfloat16)
    each("forward", forward, shapes[2:], torch.bfloat16)
    what = "general path, seq 509"
    report.part(what, lambda: general_path(report, what, device))
    each("forward + backward", step, [base], torch.float32)
    each("forward", forward, shapes[1:], torch.float32)
    each("forward + backward", step, shapes[1:], torch.bfloat16)
    each("forward + backward", step, shapes[1:], torch.float32)


def main() -> int:
    """Exit status 0 when everything ran and every bar is kept; in a rehearsal, when it ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="no part starts after these")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    parser.add_argument("--rehearse", action="store_true", help="tiny shapes on the CPU")
    args = parser.parse_args()
    if not args.rehearse and not torch.cuda.is_available():
        print("there is no CUDA device here; --rehearse runs on the CPU")
        return 2
    device: Device = Host() if args.rehearse else Cuda()
    path = args.out / f"{device.slug()}.json"
    report = Report(device, path, args.seconds)
    print(json.dumps({k: report.content[k] for k in ("machine", "state_at_start")}, indent=1))
    run(report, device)
    report.content["state_at_end"] = device.state()
    report.write()
    for what, why in report.content["not_run"].items():
        print(f"not run: {what}: {why}")
    bars = report.content["bars"]
    print(f"\n{report.summary()}")
    unknown = PROMISES - {verdict["bar"] for verdict in bars}
    for name in sorted(unknown):
        print(f"not measured: {name}")
    print(f"written: {path}")
    kept = device.rehearsal or all(verdict["pass"] for verdict in bars)
    return int(report.failed or bool(unknown) or not kept)


if __name__ == "__main__":
    sys.exit(main())
