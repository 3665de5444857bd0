"""The cost of the CUDA kernels, measured without a GPU: `make kernel-report`.

There are two sources. The simulator (csrc/cuda_sim) runs the kernels on the CPU and counts the
memory accesses of their warps: bytes, 32-byte sectors, shared-memory wavefronts, barriers
(audit.py; passes.py lists what runs). nvcc compiles the kernels and reports registers and spills,
which determine the occupancy, and cuobjdump shows the instructions (compiled.py). The report is
printed, and bench/results/kernel_report.json stores the figures. targets.py has their limits.

    python -m tools.kernel_report           # print, and write the JSON file: six architectures
    python -m tools.kernel_report --check   # print; exit 1 if a figure misses a target or is worse

A check compiles for the two architectures of `make cuda-build`. For the others it compares the
sources with those that the file's figures come from. Without nvcc the report consists of the first
half.
"""

from __future__ import annotations

from typing import Any

from tools.cuda_sim import ROOT

RESULT = ROOT / "bench" / "results" / "kernel_report.json"

Figures = dict[str, Any]
