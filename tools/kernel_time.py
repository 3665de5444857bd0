"""A model of the CUDA kernels' time, from the kernel report: `python -m tools.kernel_time`.

The kernel report counts without a GPU what the kernels execute and move. This model turns the
counts into microseconds for four devices. Every figure that it prints is a prediction, except those
in columns named "measured", which come from bench/results.

A kernel has three phases, and each takes as long as its busiest resource:

    load     bytes from L2, bytes from DRAM, or the latency of loads that a warp waits for
    compute  instructions, or wavefronts of shared memory, on the busiest multiprocessor
    store    bytes to L2, or bytes to DRAM

In one wave all blocks load, then all compute, then all store, so the phases add up. With w waves a
block computes while another loads: the longest phase counts fully, the others as 1/w.

    python -m tools.kernel_time           # print the tables, and write that of docs/cuda.md
    python -m tools.kernel_time --check   # print; exit 1 if docs/cuda.md shows other figures
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from bench.figures import rows_of
from bench.gpu import command as gpu
from bench.gpu.report import COPIES
from bench.gpu_figures import OURS
from bench.readme import updated
from fnet_kernels._terminal import table
from tools.cuda_devices import DEVICES, MULTIPROCESSORS
from tools.kernel_report.passes import Pass

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
REPORT, MEASURED = RESULTS / "kernel_report.json", RESULTS / "nvidia-h100-80gb-hbm3.json"
DOCUMENT = ROOT / "docs" / "cuda.md"

#: The share of their rates that DRAM and L2 reach. A copy reaches 0.9 of an H100's DRAM.
DRAM_SHARE, L2_SHARE = 0.9, 0.9
#: A lookup in L2 takes as long for fewer bytes as for these.
LOOKUP_BYTES = 64
#: Seconds from a load to its use, from L2 and from DRAM, beside the loads of other warps.
L2_LATENCY, DRAM_LATENCY = 0.3e-6, 0.7e-6
#: Seconds from the end of a kernel to the first loads of the next one, with overlap and without.
OVERLAPPED, LAUNCH = 1.0e-6, 1.75e-6
#: Seconds of a copy apart from its bytes.
COPY_START = 2.1e-6
#: The share of its instructions that a warp executes; the others belong to other epilogues. An H100
#: executed 33.9 per element of the 37.1 of row_fft at 768 in bfloat16 with LayerNorm.
EXECUTED = {"row_fft": 0.91}
SIZES = {"bfloat16": 2, "float32": 4}
NAMES = {"bfloat16": "bf16", "float32": "fp32"}

Figures = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A pass over x [batch, seq, hidden].

    Attributes:
        train: the forward pass keeps normalised rows for the backward pass.
        backward: the backward pass; otherwise the forward pass with LayerNorm.
        norm_first: pre-norm, x + M(LayerNorm(x)), whose statistics alone are kept.
    """

    batch: int
    seq: int
    hidden: int
    dtype: str
    train: bool = False
    backward: bool = False
    norm_first: bool = False

    @property
    def kernels(self) -> list[str]:
        """The launches of a slice, in order."""
        mix = ["seq_fft", "row_fft"]
        if self.backward:
            return [*mix, "norm_grad"] if self.norm_first else ["norm_grad", *mix]
        return ["row_statistics", *mix] if self.norm_first else mix

    @property
    def audited(self) -> Pass:
        """The pass whose kernels the report counts."""
        kind = "pre-norm" if self.norm_first else ""
        if self.backward:
            kind = f"{kind} backward".strip()
        return Pass(self.seq, self.hidden, self.dtype, kind)


@dataclass(frozen=True)
class Launch:
    """What one launch executes and moves, in total.

    Attributes:
        blocks: blocks of the grid.
        resident: blocks that a multiprocessor holds at once.
        rounds: how often a block repeats its phases.
        run: bytes of an access to L2 that lie side by side.
        waits: how often a warp waits for loads.
        read, written: bytes that pass through L2, of which the last two pass through DRAM.
    """

    kernel: str
    blocks: float
    resident: int
    rounds: int
    instructions: float
    wavefronts: float
    read: float
    written: float
    run: float
    waits: int
    dram_read: float = 0.0
    dram_written: float = 0.0


@dataclass(frozen=True)
class Time:
    """Seconds of a launch: its start, its phases, and the waves in which it runs."""

    kernel: str
    start: float
    load: float
    compute: float
    store: float
    waves: float

    @property
    def total(self) -> float:
        """Seconds from the end of the previous kernel to the end of this one."""
        phases = self.load + self.compute + self.store
        longest = max(self.load, self.compute, self.store)
        return self.start + longest + (phases - longest) / max(1.0, self.waves)


class Model:
    """The times of one device, from the figures of a kernel report.

    Args:
        name: a key of DEVICES.
        report: the content of bench/results/kernel_report.json.
    """

    def __init__(self, name: str, report: Figures) -> None:
        self.device = DEVICES[name]
        self.processor = MULTIPROCESSORS[self.device.architecture]
        self.audit, self.plans = report["audit"], report["plans"][name]
        self.kernels = report["compiler"][self.device.architecture]
        self.overlaps = int(self.device.architecture) >= 90

    def shape(self, kernel: str, length: int, dtype: str, variant: str = "") -> tuple[Figures, int]:
        """The compiler's figures of the widest block of a length that fits, and its lines."""
        found = {}
        for name, figures in self.kernels.items():
            base, _, block = name.rstrip(">").partition(", ")
            block, _, of_variant = block.partition(", ")
            points, _, lines = block.partition(" x ")
            same = (base, points, of_variant) == (f"{kernel}<{dtype}", str(length), variant)
            if same and figures["occupancy"] > 0:
                found[int(lines or 1)] = figures
        return found[max(found)], max(found)

    def launch(self, kernel: str, case: Case, sequences: float) -> Launch:
        """A launch for some sequences, as if all data were in L2."""
        seq, hidden, dtype = case.seq, case.hidden, case.dtype
        counted = self.audit[case.audited.kernel(kernel)]
        elements, size, run, rounds = sequences * seq * hidden, SIZES[dtype], 128, 1
        if kernel == "norm_grad":  # as in csrc/cuda/norm_grad_rows.h: 256 threads take 32 rows
            vectors, most, threads = hidden * size // 16, 3 if size == 2 else 4, 32
            while vectors > most * threads:
                threads *= 2
            wide = -(-vectors // threads)
            variant = ", norm first" if case.norm_first else ""
            figures = self.kernels[f"norm_grad_rows<{dtype}, {wide} wide{variant}>"]
            rounds = 32 * threads // 256
        elif kernel == "row_statistics":
            figures = self.kernels[f"{kernel}<{dtype}>"]
        elif kernel == "seq_fft":
            adapted = case.norm_first and not case.backward
            figures, lines = self.shape(kernel, seq, dtype, "adapted" if adapted else "")
            run = min(run, 2 * lines * size)
        else:
            figures, _ = self.shape(kernel, hidden, dtype)
        executed = figures.get("instructions_per_element", 0) * EXECUTED.get(kernel, 1)

        def moved(direction: str) -> float:
            kinds: Figures = counted["moved"]
            return elements * float(sum(v for n, v in kinds.items() if n.endswith(direction)))

        return Launch(
            kernel=kernel,
            blocks=sequences * counted["blocks"],
            resident=self.processor.resident(
                figures["registers"], figures["threads"], figures["shared"]
            ),
            rounds=rounds,
            instructions=executed * elements / 32,
            wavefronts=counted["wavefronts_per_1000_elements"] * elements / 1000,
            read=moved("read"),
            written=moved("write"),
            run=run,
            waits=figures.get("waits", 1),
        )

    def time(self, launch: Launch) -> Time:
        """The phases of a launch that follows another kernel of its call."""
        l2, dram = L2_SHARE * self.device.l2, DRAM_SHARE * self.device.dram
        share = launch.blocks / self.device.processors
        waves = share / launch.resident
        latency = DRAM_LATENCY if 4 * launch.dram_read > launch.read else L2_LATENCY
        cycles = self.device.clock * self.device.processors
        return Time(
            kernel=launch.kernel,
            start=OVERLAPPED if self.overlaps else LAUNCH,
            load=max(
                launch.read * max(1, LOOKUP_BYTES / launch.run) / l2,
                launch.dram_read / dram,
                launch.waits * launch.rounds * latency * math.ceil(waves),
            ),
            # Multiprocessors get whole blocks, so some get more than their share.
            compute=math.ceil(share)
            / share
            * max(launch.instructions / 4, launch.wavefronts)
            / cycles,
            store=max(launch.written / l2, launch.dram_written / dram),
            waves=waves * launch.rounds,
        )

    def slice_times(self, case: Case) -> list[Time]:
        """The launches of one slice of the batch, in order."""
        sequences = case.batch / self.slices(case)
        x = sequences * case.seq * case.hidden * SIZES[case.dtype]
        launches = [self.launch(kernel, case, sequences) for kernel in case.kernels]
        kept = x if case.train and not case.norm_first else 0.0  # the normalised rows
        spectrum = launches[case.kernels.index("seq_fft")].written
        # The part of x that L2 has lost when row_fft reads it.
        lost = min(x, max(0.0, x + spectrum + x + kept - self.device.l2_bytes))
        dram = {
            "norm_grad": (2 * x, 0.0, 0.0),
            "seq_fft": (0.0 if case.backward else x, 0.0, 0.0),
            "row_fft": (lost, x + kept, kept),
        }
        if case.norm_first and case.backward:  # M(dy) passes through L2
            dram = {"seq_fft": (x, 0, 0), "row_fft": (0, 0, 0), "norm_grad": (x + lost, x, 0)}
        elif case.norm_first:
            dram |= {"row_statistics": (x, 0, 0), "seq_fft": (0, 0, 0)}
        times = []
        for launch in launches:
            read, written, more = dram[launch.kernel]
            times.append(
                self.time(
                    replace(
                        launch,
                        dram_read=read,
                        dram_written=written,
                        written=launch.written + more,
                    )
                )
            )
        return times

    def seconds(self, case: Case) -> float:
        """A whole pass. A backward pass ends with the sums for dweight and dbias."""
        slices = self.slices(case) * sum(time.total for time in self.slice_times(case))
        return slices + (LAUNCH + OVERLAPPED if case.backward else 0.0)

    def copy(self, case: Case) -> float:
        """A copy of x."""
        moved = 2 * case.batch * case.seq * case.hidden * SIZES[case.dtype]
        return COPY_START + moved / (DRAM_SHARE * self.device.dram)

    def slices(self, case: Case) -> int:
        """The slices of the plan."""
        count: int = self.plans[f"{case.batch}x{case.seq}x{case.hidden} {case.dtype}"]
        return count


#: The shapes of the targets. The kernel report counts pre-norm at the first.
SHAPES: tuple[tuple[int, int, int], ...] = (gpu.BASE, gpu.LONG)


def cases() -> dict[str, list[Case]]:
    """By name, the passes that make up a figure of `python -m bench.gpu`, and of pre-norm."""
    found = {}
    for norm_first, shapes in ((False, SHAPES), (True, SHAPES[:1])):
        for backward, dtype, shape in product((False, True), NAMES, shapes):
            what = "forward + backward" if backward else "forward"
            block = ", pre-norm" if norm_first else ""
            name = f"{what}{block}, {'x'.join(map(str, shape))} {NAMES[dtype]}"
            forward = Case(*shape, dtype, train=backward, norm_first=norm_first)
            second = replace(forward, train=False, backward=True)
            found[name] = [forward, second] if backward else [forward]
    return found


def measured(run: Figures, name: str, contestants: tuple[str, ...] = (OURS,)) -> float | None:
    """The median in microseconds of the fastest of some contestants, or None if none ran."""
    times = run["times"].get(name, {})
    return min((times[c]["median_us"] for c in contestants if c in times), default=None)


def time_table(report: Figures, run: Figures) -> tuple[list[str], list[list[str]]]:
    """Predicted microseconds of every figure and device, beside those that an H100 measured."""
    models = {name: Model(name, report) for name in DEVICES}
    head = ["model, us", *models, "H100 measured", "model / measured"]
    rows = []
    for name, passes in cases().items():
        us = {n: 1e6 * sum(map(m.seconds, passes)) for n, m in models.items()}
        rows.append([name, *(f"{v:.0f}" for v in us.values()), *beside(us, measured(run, name))])
    for dtype, short in NAMES.items():
        case = Case(*SHAPES[0], dtype)
        us = {n: 1e6 * m.copy(case) for n, m in models.items()}
        known = measured(run, f"forward, {'x'.join(map(str, SHAPES[0]))} {short}", COPIES)
        label = f"copy, {'x'.join(map(str, SHAPES[0]))} {short}"
        rows.append([label, *(f"{v:.0f}" for v in us.values()), *beside(us, known)])
    return head, rows


def beside(us: dict[str, float], known: float | None) -> tuple[str, str]:
    """What an H100 measured, and the model's ratio to it."""
    return ("", "") if known is None else (f"{known:.1f}", f"{us['H100'] / known:.2f}")


def target_table(report: Figures, run: Figures) -> tuple[list[str], list[list[str]]]:
    """The targets of bench/gpu that depend on ours: alternatives as an H100 measured them."""
    models = {name: Model(name, report) for name in DEVICES}
    head = ["target (model)", "limit", *models, "H100 measured"]
    rows = []
    for row in run["targets"]:
        name = f"forward, {row['where']}"
        if not row["target"].startswith("forward") or name not in cases():
            continue
        (case,) = cases()[name]
        rival = measured(run, name, (row["against"],))
        cells = []
        for device, model in models.items():
            ours = 1e6 * model.seconds(case)
            if row["target"] == gpu.ROOFLINE.name:
                cells.append(f"{ours / (1e6 * model.copy(case)):.1f}")
            else:  # an alternative's time is known for one device
                cells.append(f"{rival / ours:.1f}" if device == "H100" and rival else "")
        rows.append([row["target"], row["limit"], *cells, f"{row['measured']:.1f}"])
    return head, rows


def phase_table(report: Figures) -> tuple[list[str], list[list[str]]]:
    """The phases of each kernel on an H100, in microseconds of one slice."""
    model = Model("H100", report)
    head = ["model of an H100, us a slice", "load", "compute", "store", "waves", "total"]
    rows = []
    for name, passes in cases().items():
        for time in model.slice_times(passes[-1]):
            us = (1e6 * v for v in (time.load, time.compute, time.store))
            cells = [*(f"{v:.1f}" for v in us), f"{time.waves:.1f}", f"{1e6 * time.total:.1f}"]
            rows.append([f"{time.kernel}, {name}", *cells])
    return head, rows


def block(report: Figures, run: Figures) -> str:
    """The tables of docs/cuda.md."""
    return "\n\n".join(rows_of(*t) for t in (time_table(report, run), target_table(report, run)))


def main() -> int:
    """Returns 1 with --check if the document does not show the committed report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    args = parser.parse_args()
    report, run = (json.loads(path.read_text()) for path in (REPORT, MEASURED))
    for head, rows in (
        phase_table(report),
        time_table(report, run),
        target_table(report, run),
    ):
        print(table(head, rows), end="\n\n")
    before = DOCUMENT.read_text()
    after = updated(before, {"model": block(report, run)}, "tools/kernel_time.py")
    if args.check and after != before:
        print(f"out of date: {DOCUMENT}: run python -m tools.kernel_time", file=sys.stderr)
        return 1
    if not args.check:
        DOCUMENT.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
