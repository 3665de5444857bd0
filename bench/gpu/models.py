"""FNet-Base and BERT-Base of transformers on a GPU, whole: `python -m bench.gpu.models`.

The paper's claim is a pre-training step of FNet in 1/1.8 of BERT's time. Here BERT has today's
attention (SDPA), and FNet is stock (float32, and bfloat16 where that runs) or patched. 32 x 512
tokens, random weights, no dropout, parameters in one dtype; a training step is forward, backward
and AdamW. All models of a run are timed in interleaved rounds between CUDA events; launches count,
as they do for a user. Figures join those of bench.gpu in <gpu>.json.

    python -m bench.gpu.models inference eager
    python -m bench.gpu.models training compiled
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.contestants.models import PASSES, make, passes_of
from bench.contestants.setting import reason
from bench.folders import RESULTS
from bench.gpu.device import Cuda, Device, Host
from bench.gpu.report import Report
from bench.measure import cuda
from fnet_kernels import hf
from fnet_kernels._sizes import SIZES
from fnet_kernels._terminal import table
from fnet_kernels._timing import Timing, interleave, wall_seconds

BATCH, SEQ = 32, 512
TINY = {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 128}
REFERENCE = "BERT bf16"
#: In the order of worth: the claim first.
MODELS = [
    ("BERT", torch.bfloat16),
    ("FNet ours", torch.bfloat16),
    ("FNet", torch.float32),
    ("BERT", torch.float32),
    ("FNet", torch.bfloat16),
    ("FNet ours", torch.float32),
]


def label(kind: str, dtype: torch.dtype) -> str:
    """`FNet ours bf16`."""
    return f"{kind} {'bf16' if dtype == torch.bfloat16 else 'fp32'}"


def prepared(
    kind: str, dtype: torch.dtype, what: str, compiled: bool, device: Device
) -> Callable[[], Any]:
    """The pass of one model, run three times already: compiled, and with its memory in place."""
    batch, seq = (2, 16) if device.rehearsal else (BATCH, SEQ)
    model = make(kind, TINY if device.rehearsal else SIZES["Base"], seq)
    if kind == "FNet ours":
        hf.patch_fnet(model)
    if compiled:
        model = torch.compile(model, backend=device.backend)
    call = passes_of(model, batch, seq, device.type, dtype)[what]
    for _ in range(3):
        call()
    return call


def measure(report: Report, name: str, what: str, compiled: bool, device: Device) -> None:
    """Time every model that runs; the others are absent, with what they said."""
    calls: dict[str, Callable[[], Any]] = {}
    for kind, dtype in MODELS:
        if report.left < 0.4 and calls:
            report.absent(name, label(kind, dtype), "no time left to prepare it")
            continue
        try:
            calls[label(kind, dtype)] = prepared(kind, dtype, what, compiled, device)
        except Exception as failure:  # stock FNet refuses bfloat16; memory may run out
            report.absent(name, label(kind, dtype), reason(failure))
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
    report.content["models"][name] = rows = rows_of(times)
    cells = [
        [model, f"{r['median_ms']:.2f}", f"{r['q1_ms']:.2f} to {r['q3_ms']:.2f}", r["over"]]
        for model, r in ((m, {**row, "over": _ratio(row)}) for m, row in rows.items())
    ]
    print(table(["", "ms", "quartiles", f"{REFERENCE} / this"], cells), flush=True)


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['reference_over_this']:.2f}" if "reference_over_this" in row else ""


def rows_of(times: dict[str, Timing]) -> dict[str, dict[str, Any]]:
    """Milliseconds per batch with quartiles, and how many of them fit into one of BERT's."""
    rows: dict[str, dict[str, Any]] = {}
    for name, timing in times.items():
        low, middle, high = (1e3 * t for t in timing.quartiles)
        rows[name] = {"median_ms": middle, "q1_ms": low, "q3_ms": high}
        rows[name]["rounds"] = len(timing.seconds)
        if REFERENCE in times:
            rows[name]["reference_over_this"] = times[REFERENCE].over(timing)[1]
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["inference", "training"])
    parser.add_argument("how", choices=["eager", "compiled"])
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    parser.add_argument("--rehearse", action="store_true", help="a tiny model on the CPU")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all models")
    args = parser.parse_args()
    if not args.rehearse and not torch.cuda.is_available():
        print("there is no CUDA device here; --rehearse runs on the CPU")
        return 2
    device: Device = Host() if args.rehearse else Cuda()
    report = Report(device, args.out / f"{device.slug()}.json", args.seconds, resume=True)
    what = next(p for p in PASSES if p.startswith(args.what))
    name = f"{what}, {args.how}"
    report.part(name, partial(measure, report, name, what, args.how == "compiled", device))
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
