"""The cost of the CUDA kernels, measured without a GPU: `make kernel-report`.

There are two sources. The simulator (csrc/cuda_sim) runs the kernels on the CPU and counts the
memory accesses of their warps: bytes, 32-byte sectors, shared-memory wavefronts, barriers. nvcc
compiles them and reports registers and spills, which determine the occupancy. cuobjdump shows the
instructions. The report is printed, and bench/results/kernel_report.json stores the figures.

    python -m tools.kernel_report           # print, and write the JSON file: six architectures
    python -m tools.kernel_report --check   # print; exit 1 if a figure misses a target or is worse

A check compiles for the two architectures of `make cuda-build`. For the others it compares the
sources with those that the file's figures come from. Without nvcc the report consists of the first
half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from build_backend import fnet_nvcc
from fnet_kernels._terminal import table
from tools import sass
from tools.cuda_devices import DEVICES, MULTIPROCESSORS
from tools.cuda_sim import ROOT, cuda_sim_module, store

RESULT = ROOT / "bench" / "results" / "kernel_report.json"

Figures = dict[str, Any]
#: (seq, hidden, dtype)
CASES = [
    (seq, hidden, dtype)
    for seq, hidden in ((512, 768), (2048, 768), (4096, 768), (512, 1024))
    for dtype in ("bfloat16", "float32")
]
#: The shapes of bench/gpu/command.py.
SHAPES = ((32, 512, 768), (4, 4096, 768), (8, 2048, 768), (32, 512, 1024))
CASES += [(8192, 768, "bfloat16"), (8192, 768, "float32"), (512, 768, "float16")]
DEVICE = DEVICES["H100"].facts
CHECKED = ("80", "90")
OTHERS = tuple(a for a in MULTIPROCESSORS if a not in CHECKED)

#: Bytes per element of x at 512 x 768, for the kernels of a pass together: the count of
#: docs/cuda.md plus 5 % for rstd, partial sums and the spectrum's d / 2 + 1 columns.
MAX_BYTES = {
    ("seq_fft", "row_fft"): {"bfloat16": 10.5, "float32": 16.5},
    ("norm_grad", "seq_fft", "row_fft"): {"bfloat16": 16.8, "float32": 29.4},
}
#: Sectors over the minimum by "kernel seq x hidden dtype buffer"; the first match counts. seq_fft
#: reads columns and their mirrors, which are misaligned by one element, so neighbouring tiles share
#: sectors. At length 8192 a tile of 16-bit numbers is half a sector wide (lengths.h).
MAX_SECTORS = {
    "seq_fft 8192x* *float16 x": 2.75,
    "seq_fft * x": 1.5,
    "*": 1.1,
}
MAX_WAVEFRONTS, MAX_AT_A_SITE = 1.2, 2.0
MIN_OCCUPANCY = 0.5
#: Bytes that a kernel may spill, stores and loads, and its stack frame. csrc/cuda/lengths.h divides
#: registers for the checked architectures; others need one to three more in some kernels.
MAX_SPILLS, MAX_STACK = 24, 16
#: Why the occupancy is low. Registers limit nearly all kernels: a complex point needs two.
REASONS = {
    "seq_fft": "a thread stores 16 to 40 points in registers and loads 1 to 12 of them at a time "
    "(4 to 16 bytes each from two rows), so a multiprocessor has at least 16 KB in flight",
    "row_fft": "a thread stores 16 to 40 points of two rows, loaded radix by radix, and then whole "
    "rows of x and of the result for the sums of LayerNorm; warps are independent of each other",
    "norm_grad": "rows of any length: two passes over rows, which stay in the caches",
    "norm_grad_rows": "a thread stores its part of a row, of the next one, and of the sums for "
    "dweight and dbias",
    "spectrum_rows": "general path: cuFFT, which runs before it, takes longer",
    "row_statistics": "pre-norm: one pass over rows, which the next kernel reads from L2",
    "add_chunks": "one launch with few blocks per backward pass",
}

#: Threads and shared memory (at hidden 768) of the blocks of other kernels.
OTHER_BLOCKS = {"add_chunks": (1024, 8192), "norm_grad_rows": (256, 6144)}
#: What a kernel's template argument `true` stands for.
VARIANTS = {"seq_fft": "adapted", "row_fft": "scaled", "norm_grad_rows": "norm first"}


def audited(module: Any, seq: int, hidden: int, dtype: str, train: bool) -> list[Figures]:
    """Simulate the forward, or with `train` the backward pass of one sequence."""
    chance = np.random.default_rng(0)
    x = store(chance.standard_normal((1, seq, hidden)), dtype)
    row = store(chance.standard_normal(hidden), dtype)
    if train:
        rstd = np.ones((1, seq), np.float32)
        output = module.norm_mix_grad(x, x, rstd, dtype, 1.0, row, True, DEVICE, 0)
    else:
        args = (x, hidden, dtype, 2, 1.0, 1e-12, row, row, None)
        output = module.mix(*args, False, False, DEVICE, 0)
    assert output["status"] == 0
    assert not any(launch["errors"] for launch in output["launches"])
    return [figures_of(launch, seq * hidden) for launch in output["launches"]]


def figures_of(launch: Figures, elements: int) -> Figures:
    """The figures of one launch over one sequence.

    Ratios refer to the minimum for its accesses; `moved` is the bytes of whole sectors per element.
    """
    blocks = int(np.prod(launch["grid"]))
    shared = [a for a in launch["accesses"] if a["buffer"] == "shared"]
    buffers: dict[str, list[Figures]] = {}
    for access in launch["accesses"]:
        if access["buffer"] != "shared":
            name = f"{access['buffer']} {'write' if access['write'] else 'read'}"
            buffers.setdefault(name, []).append(access)
    # Parameters and tables stay in L1, so they cause no traffic.
    traffic = {n: a for n, a in buffers.items() if n.split()[0] not in ("table", "weight", "bias")}
    return {
        "kernel": launch["kernel"],
        "blocks": blocks,
        "bytes_per_element": sum(a["bytes"] for b in traffic.values() for a in b) / elements,
        "moved": {n: 32 * sum(a["transactions"] for a in b) / elements for n, b in traffic.items()},
        "sectors": {name: ratio(accesses) for name, accesses in buffers.items()},
        "wavefronts": ratio(shared) if shared else 1.0,
        "worst_site": max((ratio([a]) for a in shared), default=1.0),
        "wavefronts_per_1000_elements": 1e3 * sum(a["transactions"] for a in shared) / elements,
        "barriers_per_block": launch["barriers"] / blocks,
    }


def ratio(accesses: list[Figures]) -> float:
    """Transactions over their minimum."""
    return float(sum(a["transactions"] for a in accesses) / sum(a["ideal"] for a in accesses))


def audit() -> dict[str, Figures]:
    """Simulate all cases: figures by "kernel seq x hidden dtype"."""
    module = cuda_sim_module("fnet_cuda_test")
    found: dict[str, Figures] = {}
    for seq, hidden, dtype in CASES:
        launches = audited(module, seq, hidden, dtype, False)
        launches += audited(module, seq, hidden, dtype, True)
        for launch in launches:
            # The backward pass runs the kernels of the forward pass after norm_grad.
            found.setdefault(f"{launch.pop('kernel')} {seq}x{hidden} {dtype}", launch)
    return found


def plans() -> dict[str, dict[str, int]]:
    """The number of slices of the shapes that `python -m bench.gpu` measures, by device."""
    module = cuda_sim_module("fnet_cuda_test")
    return {
        name: {
            f"{batch}x{seq}x{hidden} {dtype}": len(
                module.slices(batch, seq, hidden, dtype, device.facts)
            )
            for batch, seq, hidden in SHAPES
            for dtype in ("bfloat16", "float32")
        }
        for name, device in DEVICES.items()
    }


ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'")
MANGLED = re.compile(
    r"\S*?\d(?P<name>[a-z_]+)_kernelI(?P<type>f|d|NS_8BFloat16E|NS_7Float16E)"
    r"(?:Li(?P<number>\d+)E)?(?:Lb(?P<variant>[01])E)?(?:NS_\d+(?P<part>[A-Z][a-z]+)PartE)?"
)
TYPES = {"f": "float32", "d": "float64", "NS_8BFloat16E": "bfloat16", "NS_7Float16E": "float16"}


def fingerprint(csrc: Path) -> str:
    """A hash of the code that nvcc compiles. Comments, blank space and includes do not count."""
    found = hashlib.sha256(" ".join(fnet_nvcc.FLAGS).encode())
    for path in sorted(p for name in ("core", "cuda", "fft") for p in (csrc / name).rglob("*")):
        if path.suffix in (".cu", ".h"):
            code = re.sub(r"//.*|^#include.*", "", path.read_text(), flags=re.MULTILINE)
            found.update("".join(code.split()).encode())
    return found.hexdigest()[:16]


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


def misses(report: Figures) -> list[str]:
    """Describe every missed target."""
    found = []

    def check_target(what: str, value: float, maximum: float) -> None:
        if value > maximum + 1e-9:
            found.append(f"{what}: {value:.3f}, at most {maximum:g}")

    audit = report["audit"]
    for kernels, limits in MAX_BYTES.items():
        for dtype, maximum in limits.items():
            names = [f"{kernel} 512x768 {dtype}" for kernel in kernels]
            total = sum(audit[name]["bytes_per_element"] for name in names)
            check_target(f"bytes per element of {' and '.join(names)}", total, maximum)
    for name, figures in audit.items():
        for buffer, value in figures["sectors"].items():
            access = f"{name} {buffer.split()[0]}"
            maximum = next(m for kind, m in MAX_SECTORS.items() if fnmatchcase(access, kind))
            check_target(f"{name}: sectors, {buffer}", value, maximum)
        check_target(f"{name}: wavefronts", figures["wavefronts"], MAX_WAVEFRONTS)
        check_target(f"{name}: wavefronts at a site", figures["worst_site"], MAX_AT_A_SITE)
    for architecture, kernels in report["compiler"].items():
        for name, figures in kernels.items():
            where = f"sm_{architecture} {name}"
            spills, stack = (0, 0) if architecture in CHECKED else (MAX_SPILLS, MAX_STACK)
            check_target(f"{where}: spilled bytes", figures["spill_bytes"], spills)
            # An array with run-time indices is in local memory, which is not reported as a spill.
            check_target(f"{where}: stack frame", figures["stack_bytes"], stack)
    return found


def worse(new: Any, old: Any, where: str = "") -> list[str]:
    """Describe every figure of `new` that is worse than in `old`, or missing."""
    if isinstance(new, dict) and isinstance(old, dict):
        gone = [f"{where}/{key}"[1:] + ": is missing" for key in old if key not in new]
        both = (w for key in new if key in old for w in worse(new[key], old[key], f"{where}/{key}"))
        return [*gone, *both]
    free = ("/blocks", "/registers", "/threads", "/shared", "/waits")
    if isinstance(new, (int, float)) and not where.endswith(free) and "/plans/" not in where:
        better_high = where.endswith("/occupancy")
        fell = new < old - 1e-9 if better_high else new > old + 1e-9
        return [f"{where[1:]}: {new:g}, was {old:g}"] if fell else []
    return []


def compared(report: Figures, before: Figures) -> list[str]:
    """Describe what is worse than in the committed report, and figures of other sources."""
    same_compiler = report.get("nvcc") == before["nvcc"]  # another one allocates other registers
    compiled = before["compiler"] if same_compiler else {}
    both = {a: kernels for a, kernels in compiled.items() if a in report["compiler"]}
    found = worse(report, {**before, "compiler": both})
    if report["sources"] != before["sources"]:
        others = ", ".join(f"sm_{a}" for a in OTHERS)
        found.append(f"{others}: the figures are of other sources; run `make kernel-report`")
    return found


def show(report: Figures) -> None:
    """Print the tables."""
    rows = []
    for name, f in report["audit"].items():
        sectors = ", ".join(f"{buffer} {value:.2f}" for buffer, value in f["sectors"].items())
        rows.append(
            [
                name,
                f"{f['bytes_per_element']:.2f}",
                f"{f['wavefronts_per_1000_elements']:.0f}",
                f"{f['wavefronts']:.3f}",
                f"{f['worst_site']:.2f}",
                f"{f['barriers_per_block']:.0f}",
                sectors,
            ]
        )
    head = ["kernel", "bytes/elem", "wavefronts/1000", "over ideal", "worst", "barriers"]
    print(table([*head, "sectors over ideal"], rows))
    for architecture, kernels in report["compiler"].items():
        rows = [
            [
                name,
                *(str(f[key]) for key in ("threads", "registers", "spill_bytes", "shared")),
                f"{100 * f['occupancy']:.0f} %" if f["occupancy"] else "too large",
                str(f.get("instructions_per_element", "")),
            ]
            for name, f in kernels.items()
        ]
        print(f"\nsm_{architecture}")
        head = ["kernel", "threads", "registers", "spilled", "shared", "occupancy"]
        print(table([*head, "instructions written/elem"], rows))
        few = [n.split("<")[0] for n, f in kernels.items() if 0 < f["occupancy"] < MIN_OCCUPANCY]
        spilling = [name for name, f in kernels.items() if f["spill_bytes"]]
        if spilling:
            print(f"{len(spilling)} of {len(kernels)} kernels spill: {', '.join(spilling)}")
        print(f"{len(few)} of {len(kernels)} kernels below {MIN_OCCUPANCY:.0%}")
        for name in sorted(set(few)):
            print(f"  {few.count(name)} of {name}: {REASONS.get(name, 'no reason is recorded')}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--audit-only", action="store_true", help="run only the simulator")
    args = parser.parse_args()
    report: Figures = {"audit": audit(), "plans": plans(), "compiler": {}, "reasons": REASONS}
    report["sources"] = fingerprint(ROOT / "csrc")
    try:
        toolkit = None if args.audit_only else fnet_nvcc.find_toolkit()
    except fnet_nvcc.CannotBuild as error:
        print(f"the compiler's figures are missing: {error}")
        toolkit = None
    if toolkit is not None:
        report["nvcc"] = ".".join(map(str, toolkit.version))
        objects = ROOT / "build" / "objects"
        report["compiler"] = compiled(toolkit, CHECKED, objects / "cuda")  # as `make cuda-build`
        if not args.check:
            report["compiler"] |= compiled(toolkit, OTHERS, objects / "cuda-report")
    show(report)
    problems = misses(report)
    if args.check:
        problems += compared(report, json.loads(RESULT.read_text()))
    else:
        RESULT.write_text(json.dumps(report, indent=1) + "\n")
        print(f"\nwritten: {RESULT.relative_to(ROOT)}")
    for problem in problems:
        print(f"WORSE OR MISSED: {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
