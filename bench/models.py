"""`python -m bench.models`: whole FNet models, stock and patched, beside BERT, on this machine.

Every model in float32 and in bfloat16, interleaved in one run. Writes <cpu>-models.json, where rows
of other sizes, shapes and tasks stay; `machine` is that of the last run. On CUDA it is
<cpu>-cuda-models.json.

    python -m bench.models                                   # Base, 4 x 512 tokens, inference
    python -m bench.models --task both --keep                # as committed
    python -m bench.models --size Large --shape 1x512
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch

from bench.arguments import duration, positive, run_main
from bench.contestants.models import TASKS, Contestant
from bench.folders import add_out, is_writable
from bench.measure import machine, models
from bench.measure.pages import huge
from bench.report import paper
from bench.report.model_table import model_table
from bench.written import read_json, write_json
from fnet_kernels._sizes import SIZES
from fnet_kernels._terminal import Progress, table

_TASKS = {"inference": TASKS[:1], "training": TASKS[1:], "both": TASKS}


def shape(text: str) -> tuple[int, int]:
    """`4x512` as (4, 512)."""
    batch, _, tokens = text.partition("x")
    try:
        return positive(batch), positive(tokens)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected batch x tokens, for example 4x512"
        ) from None


def main(argv: list[str] | None = None) -> int:
    """Exit status 1 if no model ran, 2 if none can run or the output cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=SIZES, default="Base", help="default: %(default)s")
    parser.add_argument("--shape", type=shape, default=(4, 512), metavar="BxN", help="4x512")
    parser.add_argument("--task", choices=_TASKS, default="inference", help="default: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--seconds",
        type=duration,
        default=30.0,
        help=f"per task, in at most {models.MOST} rounds (default 30)",
    )
    parser.add_argument("--memory", action="store_true", help="measure peak memory too (CPU)")
    add_out(parser)
    args = parser.parse_args(argv)
    try:
        import transformers  # noqa: F401
    except ImportError:
        print("bench.models: error: transformers is not installed", file=sys.stderr)
        return 2
    if args.device == "cuda" and not torch.cuda.is_available():
        print("bench.models: error: torch finds no CUDA device", file=sys.stderr)
        return 2
    if not is_writable(args.out, "bench.models"):
        return 2

    huge_pages = huge() if args.device == "cpu" else None  # before the first tensor
    facts = machine.describe(args.device) | {"huge_pages": huge_pages}
    rows: models.Rows = []
    absent: dict[str, str] = {}
    batch, seq = args.shape
    kind = "models" if args.device == "cpu" else "cuda-models"
    written = args.out / f"{machine.slug()}-{kind}.json"
    before: dict[str, Any] = {"absent": {}, "rows": []}
    if written.exists():
        try:
            before = read_json(written, "absent", "rows")
            set(map(models.key, before["rows"]))
        except (KeyError, TypeError, ValueError) as error:
            about = f"rows of another version, without {error}"
            why = str(error) if isinstance(error, ValueError) else f"{written} has {about}"
            print(f"bench.models: error: --out: {why}", file=sys.stderr)
            return 2

    def write() -> None:
        facts["load_at_end"] = machine.load()
        now = {models.key(row) for row in rows}
        kept = [row for row in before["rows"] if models.key(row) not in now]
        ran = {Contestant(row["model"], getattr(torch, row["dtype"])).name for row in rows}
        gone = {name: why for name, why in before["absent"].items() if name not in ran} | absent
        content = {"machine": facts, "absent": gone, "rows": kept + rows}
        write_json(written, content)

    tasks = _TASKS[args.task]
    progress = Progress(len(tasks) + args.memory)
    try:
        for task in tasks:
            progress.step(f"{args.size}, {batch} x {seq} tokens, {task}")
            found, missing = models.compare(
                args.size, task, batch, seq, args.device, args.seconds, progress.part
            )
            rows += found
            absent |= missing
            write()
        if args.memory and args.device == "cpu":
            progress.step("peak memory, a process each")
            models.add_peaks(rows, absent, torch.get_num_threads())
            write()
    finally:
        progress.close()

    print(f"{paper.tables()}\n")
    print(f"Whole models, {batch} x {seq} tokens; paper: {paper.ABOUT}")
    print(table(*model_table(rows), left=3))
    print("\n".join(f"absent: {name}: {why}" for name, why in absent.items()))
    print(f"written: {written}")
    return int(not rows)


if __name__ == "__main__":
    run_main(main)
