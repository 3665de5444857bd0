"""`python -m fnet_kernels demo`: a Hugging Face FNet on real text, stock and patched.

Shows that the outputs agree, that bfloat16 runs where the stock model raises, and the times of the
mixing sublayer and of the whole model, beside BERT's attention sublayer and a BERT of the same
size. Prints a table and saves a chart.

    python -m fnet_kernels demo --seq 512,2048
    python -m fnet_kernels demo --checkpoint google/fnet-base --text README.md --out /tmp
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from fnet_kernels._terminal import Progress, table
from fnet_kernels._timing import Timing
from fnet_kernels.demo import measure as names
from fnet_kernels.demo.chart import save_chart
from fnet_kernels.demo.checkpoint import Loaded, load
from fnet_kernels.demo.inputs import (
    Unusable,
    found_text,
    read_texts,
    sequence_lengths,
    token_rows,
)
from fnet_kernels.demo.measure import STEPS, Measured, measure

CHART = "fnet_demo.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options to a parser."""
    parser.add_argument(
        "--text",
        nargs="+",
        metavar="FILE",
        help="text to run on (default: licences and documentation that Python carries)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="DIR_OR_NAME",
        help="an FNet saved by transformers, or its name on the hub (default: random FNet-Base)",
    )
    parser.add_argument(
        "--seq", default="512,2048", metavar="N,...", help="sequence lengths (default: %(default)s)"
    )
    parser.add_argument(
        "--tokens",
        type=_positive(int),
        default=2048,
        help="in a forward pass: as many sequences as fit, at least one (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=_positive(float),
        default=60.0,
        help="for the times, shared by the lengths; each has one round (default: %(default)s)",
    )
    parser.add_argument(
        "--out", default=".", metavar="DIR", help=f"folder for {CHART} (default: the current one)"
    )


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """A parser of positive numbers of this kind."""

    def read(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
        return value

    read.__name__ = "number"  # of argparse's message for other words
    return read


def run(args: argparse.Namespace) -> int:
    """Run the demo. Returns 0, or 2 after one line on stderr that says what cannot be used."""
    try:
        return _run(args)
    except Unusable as error:
        print(f"fnet_kernels demo: error: {error}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    lengths = sequence_lengths(args.seq)
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise Unusable(f"--out: cannot write to {out}: {error.strerror}") from error
    text, source = read_texts(args.text) if args.text else found_text()

    progress = Progress(1 + STEPS * len(lengths))
    try:
        progress.step("loading the model and the text")
        loaded = load(args.checkpoint, text, max(lengths))
        lengths, notes = _fitting(lengths, loaded.model.config.max_position_embeddings)  # type: ignore[union-attr,arg-type]
        progress.total = 1 + STEPS * len(lengths)
        results = []
        for seq in lengths:
            rows = token_rows(loaded.ids, max(1, args.tokens // seq), seq)
            results.append(measure(loaded.model, rows, progress, args.seconds / len(lengths)))
    finally:
        progress.close()

    print("\n".join([*_header(loaded, source), *notes, "", *_report(results)]))
    chart = out / CHART
    try:
        saved = save_chart(results, _heading(loaded), chart)
    except OSError as error:
        raise Unusable(f"--out: cannot write {chart}: {error.strerror}") from error
    if saved:
        print(f"\nchart: {chart}")
    else:
        print("\nno chart: it needs matplotlib (`pip install matplotlib`)")
    return 0


def _fitting(lengths: list[int], positions: int) -> tuple[list[int], list[str]]:
    """Lengths that the model has positions for; longer ones are cut, with a note for people."""
    notes = [
        f"note:     --seq {n}: the checkpoint has {positions} positions, so {positions} was run"
        for n in lengths
        if n > positions
    ]
    return list(dict.fromkeys(min(n, positions) for n in lengths)), notes


def _model_name(loaded: Loaded) -> str:
    config = loaded.model.config
    return f"FNet, {config.num_hidden_layers} layers of {config.hidden_size}"  # type: ignore[union-attr]


def _machine() -> str:
    threads = torch.get_num_threads()
    return (
        f"{platform.machine()} CPU, {torch.ops.fnet_kernels.cpu_isa()} kernels, "
        f"{threads} thread{'s' if threads > 1 else ''}, torch {torch.__version__}"
    )


def _heading(loaded: Loaded) -> str:
    return f"{_model_name(loaded)}, {loaded.weights}\n{_machine()}"


def _header(loaded: Loaded, source: str) -> list[str]:
    return [
        f"model:    {_model_name(loaded)}; {loaded.weights}",
        f"text:     {source}; {len(loaded.ids):,} tokens: {loaded.tokens}",
        f"machine:  {_machine()}",
    ]


def _report(results: list[Measured]) -> list[str]:
    """Agreement, bfloat16 and times, as lines."""
    lines = ["Hidden states of all layers, patched against stock, fp32"]
    rows = [[r.shape, f"{r.fp32.largest:.1e}", f"{r.fp32.relative:.1e}"] for r in results]
    lines += [table(["sequences x tokens", "max difference", "rms, relative"], rows), ""]

    raised = results[0].stock_bf16
    verdict = "runs here" if raised is None else f"raises: {raised}"
    lines += [f"bfloat16, stock:    {verdict}", "bfloat16, patched:  runs; against patched fp32"]
    rows = [[r.shape, f"{r.bf16.largest:.1e}", f"{r.bf16.relative:.1e}"] for r in results]
    lines += [table(["sequences x tokens", "max difference", "rms, relative"], rows), ""]

    lines.append("Times per call (forward, the whole batch), in one process, interleaved")
    rows = []
    for r in results:
        for what, times in (("sublayer", r.sublayer), ("model", r.model)):
            rows += [_time_row(r.shape, what, name, times) for name in times]
    header = ["sequences x tokens", "what", "how", "median ms", "quartiles ms", "stock / this"]
    lines.append(table(header, rows, left=3))
    return lines


def _time_row(shape: str, what: str, name: str, times: dict[str, Timing]) -> list[str]:
    low, middle, high = (1e3 * t for t in times[name].quartiles)
    ratio = times[names.STOCK].median / times[name].median
    spread = f"{low:.2f} to {high:.2f}"
    return [shape, what, name, f"{middle:.2f}", spread, f"{ratio:.2f}x"]
