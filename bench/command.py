"""`python -m bench`: our mixing against every other way, timed on this machine.

Writes bench.json, bench.csv and plots; prints a table last.

    python -m bench --shapes 8x512x768,2x2048x768 --out results
    python -m bench --dtype bf16 --pass both --device cpu
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.contestants.registry import best_of_ours
from bench.contestants.setting import Setting, reason
from bench.measure import machine
from bench.measure.pages import huge
from bench.measure.study import STEPS, Effort, Study, study
from bench.measure.timing import PASSES
from bench.report.plots import save_plots
from bench.report.tables import absences, save, tables
from bench.shapes import AWKWARD, TOKENS, Shape, equal_tokens, label, parse
from fnet_kernels._ops.load import DEVICES
from fnet_kernels._terminal import Progress

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _shapes(text: str) -> list[Shape]:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _lengths(text: str) -> list[int]:
    if text == "none":
        return []
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}: write lengths, 512,2048, or none")
    return [int(part) for part in text.split(",")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's options to a parser."""
    parser.add_argument(
        "--shapes",
        type=_shapes,
        metavar="BxNxD,...",
        help="batch x seq x hidden, say 8x512x768,2x2048x768 (default: lengths 128 to 16384 of "
        "hidden 768 at equal tokens, and awkward ones: half an hour on two cores)",
    )
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: %(default)s")
    parser.add_argument(
        "--pass",
        dest="direction",
        choices=PASSES,
        default="forward",
        help="; ".join(f"{name}: {what}" for name, what in PASSES.items()),
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto: CUDA where it is there and this build has kernels for it, else the CPU",
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, metavar="S", help="per comparison (default 3)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="at least so many (default 5)"
    )
    parser.add_argument(
        "--patience",
        type=float,
        metavar="S",
        help="for all the rounds of one contestant: a slower one is called 3 times, or once where "
        "a single call takes longer than this (default: --seconds times --rounds)",
    )
    parser.add_argument(
        "--layers",
        type=_lengths,
        metavar="N,...|none",
        help="time encoder layers at these sequence lengths only (default: at all)",
    )
    parser.add_argument(
        "--out", default=".", metavar="DIR", help="folder for the files (default: the current one)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the benchmark.

    Returns 0; 1 when a contestant computes something else, which stops the run; 2 after one line on
    stderr that says what cannot be used.
    """
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _unusable(f"--out: {out} cannot be a folder: {error.strerror}")
    has_cuda = torch.cuda.is_available()
    if args.device == "cuda" and not has_cuda:
        return _unusable("--device cuda: torch sees no CUDA device here")
    device = args.device
    if device == "auto":
        device = "cuda" if has_cuda and "cuda" in DEVICES else "cpu"
    try:
        _run(args, device, out)
    except ArithmeticError as error:
        print(f"bench: stopped, a result is wrong: {error}", file=sys.stderr)
        return 1
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, those of the process if None, and run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="time the mixing against every other way"
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


def _unusable(text: str) -> int:
    print(f"bench: error: {text}", file=sys.stderr)
    return 2


def _run(args: argparse.Namespace, device: str, out: Path) -> None:
    began = time.monotonic()
    huge_pages = huge() if device == "cpu" else None  # before the first tensor
    shapes = args.shapes or [*equal_tokens(TOKENS[device]), *AWKWARD]
    dtype, direction = DTYPES[args.dtype], args.direction
    facts = machine.describe(device) | {"huge_pages": huge_pages}
    found = Study()
    if device == "cpu" and (facts["load_at_start"] or [0])[0] > 0.5:
        found.notes.append("this machine was busy at the start: these figures are a quick look")
    settings = {"dtype": args.dtype, "pass": direction, "seconds": args.seconds}
    settings |= {"rounds": args.rounds}
    effort = Effort(args.seconds, args.rounds, args.patience)
    progress = Progress(STEPS * len(shapes))

    def write() -> list[Path]:
        facts["load_at_end"] = machine.load()
        facts["wall_seconds"] = round(time.monotonic() - began)
        return save(found, facts, settings, out)

    try:
        for shape in shapes:
            setting = Setting(shape, dtype, device, direction != "forward")
            layers = args.layers is None or shape[1] in args.layers
            try:
                study(found, setting, direction, effort, progress, layers=layers)
            except (RuntimeError, MemoryError) as error:  # x itself does not fit
                found.miss("every contestant", reason(error), label(shape))
            write()
    finally:
        progress.close()

    heading = f"{machine.title(facts)}; {args.dtype}, {PASSES[direction]}"
    if found.notes:
        heading += "\n(the machine was busy at the start)"
    plots = save_plots(found.rows, heading, best_of_ours(device), out)
    if not plots:
        found.notes.append("no plots: they need matplotlib (`pip install matplotlib`)")
    print("\n".join([f"written: {file}" for file in (*write(), *plots)]))
    print("\n".join(["", *absences(found), *(f"note: {note}" for note in found.notes), ""]))
    print(f"{heading}\n\n{tables(found)}")
