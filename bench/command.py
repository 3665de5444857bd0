"""`python -m bench`: time our mixing against every alternative on this machine.

Writes bench.json, bench.csv and plots, and prints a table at the end.

    python -m bench --shapes 8x512x768,2x2048x768 --out results
    python -m bench --dtype bf16 --pass both --device cpu
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from bench.arguments import duration, positive
from bench.contestants.registry import best_of_ours
from bench.contestants.setting import Setting, reason
from bench.folders import is_writable
from bench.measure import machine
from bench.measure.pages import huge
from bench.measure.study import STEPS, Effort, Study, study
from bench.measure.timing import DIRECTIONS, MOST, WrongResult
from bench.report.plots import save_plots
from bench.report.tables import absences, save, tables
from bench.shapes import AWKWARD, TOKENS, Shape, equal_tokens, label, parse
from fnet_kernels._ops.load import DEVICES
from fnet_kernels._terminal import Progress

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def shape_list(text: str) -> list[Shape]:
    """The value of --shapes."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _lengths(text: str) -> list[int]:
    if text == "none":
        return []
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}: expected lengths such as 512,2048, or none")
    return [int(part) for part in text.split(",")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the benchmark to `parser`."""
    parser.add_argument(
        "--shapes",
        type=shape_list,
        metavar="BxNxD,...",
        help="batch x seq x hidden, such as 8x512x768,2x2048x768 (default: lengths 128 to 16384 "
        "with hidden 768 and equal tokens, and awkward shapes: half an hour on two cores)",
    )
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: %(default)s")
    parser.add_argument(
        "--pass",
        dest="direction",
        choices=DIRECTIONS,
        default="forward",
        help="; ".join(f"{name}: {what}" for name, what in DIRECTIONS.items()),
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto: CUDA if a device is present and this build has CUDA kernels, else the CPU",
    )
    parser.add_argument(
        "--seconds",
        type=duration,
        default=3.0,
        metavar="S",
        help=f"minimum time per comparison, in at most {MOST} rounds or --rounds (default 3)",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=5,
        metavar="N",
        help="minimum number of rounds (default 5)",
    )
    parser.add_argument(
        "--patience",
        type=duration,
        metavar="S",
        help="time limit for all rounds of a contestant; a slower contestant runs 3 times, or once "
        "if a single call exceeds the limit (default: --seconds times --rounds)",
    )
    parser.add_argument(
        "--layers",
        type=_lengths,
        metavar="N,...|none",
        help="time encoder layers only at these sequence lengths (default: all)",
    )
    parser.add_argument(
        "--out", default=".", metavar="DIR", help="output folder (default: the current folder)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the benchmark.

    Returns 0 on success, 1 if nothing could be timed or a contestant computes a wrong result, which
    stops the run, and 2 if an argument cannot be used; stderr then names it in one line.
    """
    out = Path(args.out)
    if not is_writable(out, "bench"):
        return 2
    has_cuda = torch.cuda.is_available()
    if args.device == "cuda" and not has_cuda:
        return _unusable("--device cuda: torch finds no CUDA device")
    device = args.device
    if device == "auto":
        device = "cuda" if has_cuda and "cuda" in DEVICES else "cpu"
    try:
        return _run(args, device, out)
    except WrongResult as error:
        print(f"bench: stopped because a result is wrong: {error}", file=sys.stderr)
        return 1


def main(argv: Sequence[str] | None = None, subcommands: Iterable[str] = ()) -> int:
    """Parse `argv`, or the arguments of the process if None, and run the benchmark.

    The help names the `subcommands`, which have a help of their own.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="time the mixing against every alternative",
        epilog=f"subcommands, each with its own --help: {', '.join(subcommands)}",
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


def _unusable(text: str) -> int:
    print(f"bench: error: {text}", file=sys.stderr)
    return 2


def _run(args: argparse.Namespace, device: str, out: Path) -> int:
    began = time.monotonic()
    huge_pages = huge() if device == "cpu" else None  # before the first tensor
    shapes = args.shapes or [*equal_tokens(TOKENS[device]), *AWKWARD]
    dtype, direction = DTYPES[args.dtype], args.direction
    facts = machine.describe(device) | {"huge_pages": huge_pages}
    found = Study()
    busy = device == "cpu" and machine.is_busy(facts)
    if busy:
        found.notes.append("other programs ran at the start: the figures are approximate")
    settings = {"dtype": args.dtype, "pass": direction, "seconds": args.seconds}
    settings |= {"rounds": args.rounds}
    effort = Effort(args.seconds, args.rounds, args.patience)
    progress = Progress(STEPS * len(shapes))

    def write() -> list[Path]:
        facts["load_at_end"] = machine.load()
        facts["wall_seconds"] = round(time.monotonic() - began)
        try:
            return save(found, facts, settings, out)
        except OSError as error:  # a full disk
            raise SystemExit(
                f"bench: error: --out: cannot write to {out}: {error.strerror}"
            ) from None

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

    heading = f"{machine.title(facts)}; {args.dtype}, {DIRECTIONS[direction]}"
    if busy:
        heading += "\n(other programs ran at the start)"
    plots = save_plots(found.rows, heading, best_of_ours(device), out)
    if found.rows and not plots:
        found.notes.append("no plots: matplotlib is missing (`pip install matplotlib`)")
    print("\n".join([f"written: {file}" for file in (*write(), *plots)]))
    print("\n".join(["", *absences(found), *(f"note: {note}" for note in found.notes), ""]))
    print(f"{heading}\n\n{tables(found)}" if found.rows else f"{heading}\n\nnothing was timed")
    return 0 if found.rows else 1
