"""`python -m bench mixers`: the same encoder layer with every mixer, on this machine.

Time of inference and of a training step, peak memory and learned parameters by length. Writes
<cpu>-mixers.json and a plot.

    python -m bench mixers                                        # 128 to 16384 tokens
    python -m bench mixers --shapes 8x512x768 --task inference --mixers fourier,linear,attention
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from typing import Any

import torch

from bench.arguments import duration, positive, run_main
from bench.command import DTYPES, shape_list
from bench.contestants.mixers import MIXERS, parameters
from bench.contestants.registry import Contestant
from bench.contestants.setting import Setting, reason
from bench.folders import add_out, is_writable
from bench.measure import machine
from bench.measure.pages import huge
from bench.measure.study import Effort, Study, study
from bench.measure.timing import MOST
from bench.report.mixers import mixer_tables, save_plot
from bench.report.tables import absences
from bench.shapes import TOKENS, equal_tokens, label
from bench.written import write_json
from fnet_kernels._terminal import Progress

#: What is timed, and the direction of the study that times it.
_TASKS = {"inference": ("forward",), "training": ("both",), "both": ("forward", "both")}
_STEPS = 3  # of the progress of one study


def _mixers(text: str) -> list[Contestant]:
    """The contestants of each mixer; the filters are one mixer."""
    named: dict[str, list[Contestant]] = {}
    for contestant in MIXERS:
        named.setdefault(contestant.name.partition(",")[0], []).append(contestant)
    unknown = [name for name in text.split(",") if name not in named]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(map(repr, unknown))}: expected names of {', '.join(named)}"
        )
    return [each for name in dict.fromkeys(text.split(",")) for each in named[name]]


def main(argv: list[str] | None = None) -> int:
    """Exit status 1 if nothing was timed, 2 without the device or an output folder to write to."""
    parser = argparse.ArgumentParser(
        prog="python -m bench mixers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--shapes",
        type=shape_list,
        metavar="BxNxD,...",
        help="batch x seq x hidden (default: lengths 128 to 16384 with hidden 768 and equal "
        "tokens, which takes hours on two cores)",
    )
    parser.add_argument("--mixers", type=_mixers, default=MIXERS, metavar="NAME,...", help="all")
    parser.add_argument("--task", choices=_TASKS, default="both", help="default: %(default)s")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--seconds",
        type=duration,
        default=10.0,
        help=f"per comparison, in at most {MOST} rounds or --rounds (default 10)",
    )
    parser.add_argument("--rounds", type=positive, default=5, help="at least (default 5)")
    add_out(parser)
    args = parser.parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("bench mixers: error: torch finds no CUDA device", file=sys.stderr)
        return 2
    if not is_writable(args.out, "bench mixers"):
        return 2

    began = time.monotonic()
    huge_pages = huge() if args.device == "cpu" else None  # before the first tensor
    shapes = args.shapes or equal_tokens(TOKENS[args.device])
    facts = machine.describe(args.device) | {"huge_pages": huge_pages}
    settings = {"dtype": args.dtype, "seconds": args.seconds, "rounds": args.rounds}
    written = args.out / f"{machine.slug()}-mixers.json"
    found = Study()
    learned: list[dict[str, Any]] = []

    def write() -> None:
        facts["load_at_end"] = machine.load()
        facts["wall_seconds"] = round(time.monotonic() - began)
        absent = [
            {"mixer": name, "reason": why, "shapes": where}
            for (name, why), where in found.absent.items()
        ]
        content = {"machine": facts, "settings": settings, "absent": absent, "mixers": learned}
        content["rows"] = [asdict(row) for row in found.rows]
        write_json(written, content)

    directions = _TASKS[args.task]
    progress = Progress(_STEPS * len(shapes) * len(directions))
    effort = Effort(args.seconds, args.rounds)
    try:
        for shape in shapes:
            for direction in directions:
                setting = Setting(shape, DTYPES[args.dtype], args.device, direction != "forward")
                parts = [("mixer", args.mixers)]
                try:
                    study(found, setting, direction, effort, progress, parts=parts)
                except (RuntimeError, MemoryError) as error:  # x itself does not fit
                    found.miss("every mixer", reason(error), label(shape))
            ran = dict.fromkeys(r.contestant for r in found.rows if r.shape == label(shape))
            learned += [
                {"mixer": name, "shape": label(shape), "parameters": parameters(name, setting)}
                for name in ran
            ]
            write()
    finally:
        progress.close()

    heading = f"{machine.title(facts)}; {args.dtype}, one encoder layer"
    plot = save_plot(found.rows, heading, written.with_suffix(".png"))
    print(f"{heading}\n\n{mixer_tables(found.rows, learned)}\n")
    print("\n".join([*absences(found), f"written: {written}"]))
    if not found.rows:
        print("nothing was timed")
        return 1
    print(f"written: {plot}" if plot else "no plot: matplotlib is missing")
    return 0


if __name__ == "__main__":
    run_main(main)
