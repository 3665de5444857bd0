"""What nvcc, ptxas and cuobjdump tell about every kernel.

defines: compiled, occupancy, CHECKED, OTHERS
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from build_backend import fnet_nvcc
from tools import sass
from tools.cuda_devices import MULTIPROCESSORS
from tools.cuda_sim import ROOT, cuda_sim_module
from tools.kernel_report import Figures

#: The architecture of `make cuda-build`, and those that a check does not compile for: their figures
#: hold as long as the fingerprint is the recorded one.
CHECKED = ("90",)
OTHERS = tuple(a for a in MULTIPROCESSORS if a not in CHECKED)

#: Threads and shared memory (at hidden 768) of the blocks of other kernels.
OTHER_BLOCKS = {"add_chunks": (1024, 8192), "norm_grad_rows": (256, 6144)}
#: What a kernel's template argument `true` stands for.
VARIANTS = {"seq_fft": "adapted", "row_fft": "scaled", "norm_grad_rows": "norm first"}

ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'")
MANGLED = re.compile(
    r"\S*?\d(?P<name>[a-z_]+)_kernelI(?P<type>f|d|NS_8BFloat16E|NS_7Float16E)"
    r"(?:Li(?P<number>\d+)E)?(?:Lb(?P<variant>[01])E)?(?:NS_\d+(?P<part>[A-Z][a-z]+)PartE)?"
)
TYPES = {"f": "float32", "d": "float64", "NS_8BFloat16E": "bfloat16", "NS_7Float16E": "float16"}


def compiled(
    toolkit: fnet_nvcc.Toolkit, architectures: tuple[str, ...], folder: Path
) -> dict[str, dict[str, Figures]]:
    """Compile every kernel in `folder`: figures from ptxas and SASS by architecture and kernel."""
    module = cuda_sim_module("fnet_cuda_test")
    blocks = {dtype: module.blocks(dtype) for dtype in TYPES.values()}
    os.environ["TORCH_CUDA_ARCH_LIST"] = ";".join(f"{a[:-1]}.{a[-1]}" for a in architectures)
    os.environ.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
    csrc = ROOT / "csrc"
    sources = sorted((csrc / "cuda").glob("**/*.cu"))
    names = [path.relative_to(ROOT).as_posix() for path in sources]
    headers = [str(path) for path in csrc.glob("**/*.h")]
    objects = fnet_nvcc.compile_all(toolkit, names, headers, csrc, folder, [])
    logs = [Path(name).with_suffix(".log").read_text() for name in objects]
    for name, log in zip(names, logs, strict=True):
        if "warning" in log:
            raise SystemExit(f"{name}:\n{log}")
    listings = sass.listings(objects)
    found: dict[str, dict[str, Figures]] = {a: {} for a in architectures}
    figures: Figures = {}
    for entry in "".join(logs).split("ptxas info    : ")[1:]:
        compiling = ENTRY.match(entry)
        match = MANGLED.match(compiling[1]) if compiling else None
        if compiling and not match:
            figures = {}  # a kernel that is no template, and has no figures in the report
        if compiling and match:
            name, architecture = match["name"], compiling[2]
            threads, shared = OTHER_BLOCKS.get(name, (128, 0))
            parts, elements = [TYPES[match["type"]]], 0
            if name in blocks[parts[0]]:
                lines, threads, shared, _, elements = blocks[parts[0]][name][int(match["number"])]
                parts.append(lines)
            elif match["number"]:
                parts.append(f"{match['number']} wide")
            elif match["part"]:
                parts.append(match["part"])
            if match["variant"] == "1":
                parts.append(VARIANTS[name])
            figures = {"threads": threads, "shared": shared}
            if elements:
                listing = listings.get((architecture, compiling[1]))
                if not listing:
                    raise SystemExit(f"cuobjdump shows no instructions of {compiling[1]}")
                figures["instructions_per_element"] = round(len(listing) / elements, 2)
                figures["waits"] = sass.waits(listing)
                if int(architecture) >= 90 and not sass.overlaps(listing):
                    raise SystemExit(f"{compiling[1]} does not overlap its neighbours")
            found[architecture][f"{name}<{', '.join(parts)}>"] = figures
        spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        if figures and spilled:
            figures["spill_bytes"] = int(spilled[1]) + int(spilled[2])
            frame = re.search(r"(\d+) bytes stack frame", entry)
            figures["stack_bytes"] = int(frame[1]) if frame else 0
        used = re.match(r"Used (\d+) registers", entry)
        if figures and used:
            figures["registers"] = int(used[1])
            figures["occupancy"] = occupancy(figures, architecture)
    return {a: dict(sorted(kernels.items())) for a, kernels in found.items()}


def occupancy(kernel: Figures, architecture: str) -> float:
    """Resident threads over the maximum of a multiprocessor; 0 if a block does not fit."""
    processor = MULTIPROCESSORS[architecture]
    blocks = processor.resident(kernel["registers"], kernel["threads"], kernel["shared"])
    return float(blocks * kernel["threads"] / processor.threads)
