"""FNet-Base and BERT-Base of transformers on a GPU, whole: `python -m bench.gpu.models`.

The paper reports that a pre-training step of FNet takes 1/1.8 of BERT's time. BERT runs with
today's attention (SDPA), FNet is stock (float32, and bfloat16 where that runs) or patched. 32 x 512
tokens, random weights, no dropout, parameters in one dtype; a training step is forward, backward
and AdamW. All models of a run are timed in interleaved rounds between CUDA events; launches count,
as they do for a user. Figures join those of bench.gpu in <gpu>.json.

    python -m bench.gpu.models "inference eager"
    python -m bench.gpu.models "training eager" "training compiled"
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from bench.arguments import duration, run_main
from bench.contestants.models import CONTESTANTS, TASKS, prepare
from bench.contestants.setting import reason
from bench.folders import add_gpu_out, gpu_out, is_writable
from bench.gpu.device import Cuda, Device, Host
from bench.gpu.report import Report
from bench.measure import cuda
from bench.measure.models import RATIOS, rows_of
from fnet_kernels._sizes import SIZES
from fnet_kernels._terminal import table
from fnet_kernels._timing import interleave, wall_seconds

BATCH, SEQ = 32, 512
PARTS = ("inference eager", "training eager", "inference compiled", "training compiled")
TINY = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 128}


def measure(report: Report, name: str, task: str, compiled: bool, device: Device) -> None:
    """Time every model that runs; the others are absent, with the reason."""
    sizes = TINY if device.rehearsal else SIZES["Base"]
    batch, seq = (2, 16) if device.rehearsal else (BATCH, SEQ)
    backend = device.backend if compiled else None
    calls: dict[str, Callable[[], Any]] = {}
    for contestant in CONTESTANTS:
        if report.left < 0.4 and calls:
            report.absent(name, contestant.name, "no time left to prepare it")
            continue
        try:  # three calls: compiled, and with its memory in place
            calls[contestant.name] = prepare(
                contestant, task, sizes, batch, seq, device.type, backend=backend, calls=3
            )
        except Exception as failure:  # stock FNet refuses bfloat16; memory may run out
            report.absent(name, contestant.name, reason(failure))
    failed: dict[str, str] = {}
    times = interleave(
        calls,
        seconds=min(10.0, max(1.0, 0.5 * report.left * report.seconds)),
        minimum=3,
        maximum=3 if device.rehearsal else 40,
        stopwatch=wall_seconds if device.rehearsal else cuda.seconds,
        failed=failed,
    )
    for model, why in failed.items():
        report.absent(name, model, why)
    rows = rows_of(times)
    report.content["models"][name] = rows
    cells = [
        [
            f"{row['model']} {row['dtype']}",
            f"{row['median_ms']:.2f}",
            f"{row['q1_ms']:.2f} to {row['q3_ms']:.2f}",
            *(f"{row[key]:.2f}" if row[key] else "" for key in RATIOS),
        ]
        for row in rows
    ]
    heads = ["", "ms", "quartiles", "stock fp32 / this", "BERT / this"]
    print(table(heads, cells), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Returns 1 if a part failed, and 2 without a device or a folder to write to."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu.models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "parts", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}"
    )
    add_gpu_out(parser, "a tiny model")
    parser.add_argument("--seconds", type=duration, default=600.0, help="for all models")
    args = parser.parse_args(argv)
    out = gpu_out(args)
    if not args.rehearse and not torch.cuda.is_available():
        print("torch finds no CUDA device; --rehearse runs on the CPU")
        return 2
    if not is_writable(out, "bench.gpu.models"):
        return 2
    device: Device = Host() if args.rehearse else Cuda()
    try:
        report = Report(device, out / f"{device.slug()}.json", args.seconds, resume=True)
    except ValueError as error:
        print(f"bench.gpu.models: error: --out: {error}", file=sys.stderr)
        return 2
    for part in args.parts:
        what, how = part.split()
        task = next(task for task in TASKS if task.startswith(what))
        name = f"{task}, {how}"
        report.part(name, partial(measure, report, name, task, how == "compiled", device))
    return int(report.failed)


if __name__ == "__main__":
    run_main(main)
