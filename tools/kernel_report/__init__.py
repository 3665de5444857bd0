"""The cost of the CUDA kernels, measured without a GPU: `make kernel-report`.

There are two sources. The simulator (csrc/cuda_sim) runs the kernels on the CPU and counts the
memory accesses of their warps: bytes, 32-byte sectors, shared-memory wavefronts, barriers
(audit.py; passes.py lists what runs). nvcc compiles the kernels and reports registers and spills,
which determine the occupancy, and cuobjdump shows the instructions (compiled.py). The report is
printed, and bench/results/kernel_report.json stores the figures. targets.py has their limits.

    python -m tools.kernel_report           # print, and write the JSON file: six architectures
    python -m tools.kernel_report --check   # print; exit 1 if a figure misses a target or is worse

The file holds hashes of the code that its figures come from (fingerprint.py). Figures of the same
code are taken from there. A check compiles other code for the architecture of `make cuda-build`
alone, and fails until the others are recorded. Without nvcc the report is the simulator's half.
"""

from __future__ import annotations

from typing import Any

from tools.cuda_sim import ROOT

RESULT = ROOT / "bench" / "results" / "kernel_report.json"

Figures = dict[str, Any]
