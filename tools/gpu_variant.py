"""Time the module that this process loads, beside a copy: one entry in <gpu>-variants.json.

A variant is a module built with one change (tools/gpu_bundle.py). A process can load only one, so
the check runs this script for each variant in turn, for several rounds on one GPU. Each run adds
its medians: microseconds of forward and of forward and backward, and their ratios to a copy in the
same run, which cancel most differences between runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import torch

from bench.contestants.registry import best_of_ours
from bench.contestants.setting import Setting
from bench.gpu import command as gpu
from bench.gpu.device import Cuda, Device, Host
from bench.gpu.report import COPIES, Report, fastest
from fnet_kernels._ops.library import CUDA_KERNELS, KERNELS
from fnet_kernels._ops.load import DEVICES, LIBRARIES
from tools.gpu_step import replace_file


def times(device: Device, folder: Path) -> dict[str, dict[str, float]]:
    """Medians by shape and pass: {"32x512x768 bf16 forward": {"us", "spread", "over_copy"}}."""
    report = Report(device, folder / "unused.json", 60.0)
    ours = best_of_ours(device.type)
    found = {}
    shapes = gpu.REHEARSED if device.rehearsal else (gpu.BASE, gpu.LONG)
    for shape in shapes:
        for backward in (False, True):
            setting = Setting(shape, torch.bfloat16, device.type, backward)
            rivals = gpu.chosen(ours, *COPIES)
            timing = gpu.compare(report, "variant", rivals, setting, device)
            copy = fastest(timing, COPIES)
            low, middle, high = timing[ours].quartiles
            what = f"{gpu.place(setting)} {'forward + backward' if backward else 'forward'}"
            found[what] = {
                "us": 1e6 * middle,
                "spread": (high - low) / middle,
                "over_copy": timing[ours].over(timing[copy])[1],
            }
    return found


def loaded_module() -> str:
    """A hash of the module whose kernels ran, to detect two variants with the same module."""
    module = LIBRARIES / (CUDA_KERNELS if "cuda" in DEVICES else KERNELS)
    return hashlib.sha256(module.read_bytes()).hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the variant in the file")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--rehearse", action="store_true", help="run on the CPU at a tiny shape")
    args = parser.parse_args()
    device: Device = Host() if args.rehearse else Cuda()
    path = args.out / f"{device.slug()}-variants.json"
    runs = json.loads(path.read_text()) if path.exists() else {"machine": device.facts()}
    found = times(device, args.out)
    runs.setdefault("variants", {}).setdefault(args.name, []).append(found)
    runs.setdefault("modules", {})[args.name] = loaded_module()
    replace_file(path, (json.dumps(runs, indent=1) + "\n").encode())
    for what, row in found.items():
        print(f"{args.name}: {what}: {row['us']:.1f} us, {row['over_copy']:.2f} x copy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
