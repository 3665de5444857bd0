"""`python -m fnet_kernels bench`: our mixing against every other way, timed on this machine.

Writes bench.json, bench.csv and plots; prints a table last.

    python -m fnet_kernels bench --shapes 8x512x768,2x2048x768 --out results
    python -m fnet_kernels bench --dtype bf16 --pass both --device cpu --models
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from fnet_kernels._bench import machine, models
from fnet_kernels._bench.plots import save_plots
from fnet_kernels._bench.report import absences, save, tables
from fnet_kernels._bench.setting import Setting
from fnet_kernels._bench.shapes import TOKENS, Shape, equal_tokens, parse
from fnet_kernels._bench.study import STEPS, Study, best_of_ours, study
from fnet_kernels._bench.timing import PASSES
from fnet_kernels._library import DEVICES
from fnet_kernels._progress import Progress
from fnet_kernels._table import table

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_MODEL_BATCH = {"cpu": 1, "cuda": 16}
_MODEL_SEQ = 512


def _shapes(text: str) -> list[Shape]:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's options to a parser."""
    parser.add_argument(
        "--shapes",
        type=_shapes,
        metavar="BxNxD,...",
        help="batch x seq x hidden, say 8x512x768,2x2048x768 (default: lengths 128 to 16384 of "
        "hidden 768 at equal tokens, which takes a quarter of an hour on two cores)",
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
        "--models",
        action="store_true",
        help="also whole models: FNet-Base and -Large against BERT's, inference and training",
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
        print(f"fnet_kernels bench: stopped, a result is wrong: {error}", file=sys.stderr)
        return 1
    return 0


def _unusable(text: str) -> int:
    print(f"fnet_kernels bench: error: {text}", file=sys.stderr)
    return 2


def _run(args: argparse.Namespace, device: str, out: Path) -> None:
    shapes = args.shapes or equal_tokens(TOKENS[device])
    dtype, direction = DTYPES[args.dtype], args.direction
    facts = machine.describe(device)
    found = Study()
    if device == "cpu" and (facts["load_at_start"] or [0])[0] > 0.5:
        found.notes.append("this machine was busy at the start: these figures are a quick look")
    sizes = tuple(models.SIZES) if args.models else ()
    model_rows: list[dict[str, Any]] = []
    progress = Progress(STEPS * len(shapes) + len(sizes))
    try:
        for shape in shapes:
            setting = Setting(shape, dtype, device, direction != "forward")
            study(found, setting, direction, args.seconds, progress)
        for size in sizes:
            batch = _MODEL_BATCH[device]
            progress.step(f"whole models, {size}, {batch} x {_MODEL_SEQ} tokens")
            rows, absent = models.compare(size, batch, _MODEL_SEQ, device, args.seconds)
            model_rows += rows
            for name, reason in absent.items():
                found.miss(name, reason, f"{batch}x{_MODEL_SEQ}")
    finally:
        progress.close()
    facts["load_at_end"] = machine.load()

    settings = {"dtype": args.dtype, "pass": direction, "seconds": args.seconds}
    files = save(found, facts, settings, model_rows, out)
    heading = f"{machine.title(facts)}; {args.dtype}, {PASSES[direction]}"
    if found.notes:
        heading += "\n(the machine was busy at the start)"
    plots = save_plots(found.rows, heading, best_of_ours(device), out)
    if not plots:
        found.notes.append("no plots: they need matplotlib (`pip install matplotlib`)")
    print("\n".join([f"written: {file}" for file in (*files, *plots)]))
    print("\n".join(["", *absences(found), *(f"note: {note}" for note in found.notes), ""]))
    if model_rows:
        print(f"Whole models, fp32, {model_rows[0]['batch']} x {model_rows[0]['seq']} tokens")
        print(f"{table(*models.model_table(model_rows), left=2)}\n{models.ABOUT_PAPER}\n")
    print(f"{heading}\n\n{tables(found)}")
