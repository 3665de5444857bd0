"""What the CUDA kernels cost, without a GPU: `make kernel-report`.

Two sources. The simulator (csrc/cuda_sim) runs the kernels on the CPU and counts the memory
accesses of their warps: bytes, 32-byte sectors, shared-memory wavefronts, barriers. nvcc compiles
them and reports registers and spills, which determine the occupancy; cuobjdump gives the
instructions, and how many loads of dx seq_grad issues before it waits for the first. The table is
printed; bench/results/kernel_report.json holds the figures.

    python -m tools.kernel_report           # print, and write the JSON
    python -m tools.kernel_report --check   # print; exit 1 where a bar is missed, a figure worse

Without nvcc the report leaves the second half out, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from build_backend import fnet_nvcc
from fnet_kernels._terminal import table
from tools.cuda_sim import ROOT, cuda_sim_module, store

RESULT = ROOT / "bench" / "results" / "kernel_report.json"

Figures = dict[str, Any]
#: (seq, hidden, dtype)
CASES = [
    (seq, hidden, dtype)
    for seq, hidden in ((512, 768), (2048, 768), (4096, 768), (512, 1024))
    for dtype in ("bfloat16", "float32")
]
CASES += [(8192, 768, "bfloat16"), (8192, 768, "float32"), (512, 768, "float16")]
DEVICE = (132, 227 << 10, 50 << 20)  # multiprocessors, shared memory of a block, L2
ARCHITECTURES = ("80", "90")

#: Bytes per element of x at 512 x 768, of the two kernels of a pass together: what design.md counts
#: and 5 in a hundred for rstd, partial sums and a half spectrum of d / 2 + 1 columns; of the
#: backward a quarter of a byte more, for the columns that seq_grad's tiles hand on.
MOST_BYTES = {
    ("seq_fft", "row_fft"): {"bfloat16": 10.5, "float32": 16.5},
    ("row_grad", "seq_grad"): {"bfloat16": 14.95, "float32": 25.2},
}
#: Sectors over ideal by "kernel seq x hidden dtype buffer", the first that fits. seq_fft reads
#: columns together with their mirror images, which are off by one: a tile shares a sector with its
#: neighbour. A tile of 8192 is half a sector wide in 16 bits (lengths.h).
MOST_SECTORS = {
    "seq_fft 8192x* *float16 x": 2.75,
    "seq_grad 8192x* *float16 dx": 2.0,
    "seq_fft * x": 1.5,
    "*": 1.1,
}
MOST_WAVEFRONTS, MOST_AT_A_SITE = 1.2, 2.0
LEAST_OCCUPANCY = 0.5
#: seq_grad keeps 32 bytes of dx in flight a thread: 8 pairs of 16 bits, 4 of 32. At these lengths a
#: thread has fewer points.
MOST_POINTS = {16: 2, 32: 4}
#: Registers are the limit of nearly all: a complex point is two.
REASONS = {
    "seq_fft": "a thread holds 16 to 40 points and loads 1 to 12 of them at a time (4 to 16 bytes "
    "each from two rows), so a multiprocessor has 16 KB and more on their way",
    "seq_grad": "a thread holds 16 to 40 points, all of which it loads before the first butterfly; "
    "dx then comes 2 to 12 points at a time",
    "row_fft": "a thread holds 16 to 40 points of two rows, loaded radix by radix, and then whole "
    "rows of x and of the result for the sums of LayerNorm; warps are independent of each other",
    "row_grad": "a thread holds a row of dy, of the normalised rows and of du at once, for the two "
    "means, and a line's sums for dweight and dbias lie in shared memory",
    "norm_grad": "general path: two passes over rows that the caches hold",
    "spectrum_rows": "general path: cuFFT before it takes longer",
    "add_chunks": "one launch for a whole backward, of few blocks",
}

#: (registers, threads, shared bytes, blocks) of a multiprocessor.
LIMITS = {
    "80": (65536, 2048, 164 << 10, 32),
    "90": (65536, 2048, 228 << 10, 32),
}


def audited(module: Any, seq: int, hidden: int, dtype: str, train: bool) -> list[Figures]:
    """What the simulator saw of one forward (or backward) of one sequence."""
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
    """One launch's figures; ratios are over the minimum for its requests."""
    blocks = int(np.prod(launch["grid"]))
    shared = [a for a in launch["accesses"] if a["buffer"] == "shared"]
    buffers: dict[str, list[Figures]] = {}
    for access in launch["accesses"]:
        if access["buffer"] != "shared":
            name = f"{access['buffer']} {'write' if access['write'] else 'read'}"
            buffers.setdefault(name, []).append(access)
    # Parameters and tables stay in the first-level cache: they are no traffic.
    traffic = {n: a for n, a in buffers.items() if n.split()[0] not in ("table", "weight", "bias")}
    return {
        "kernel": launch["kernel"],
        "bytes_per_element": sum(a["bytes"] for b in traffic.values() for a in b) / elements,
        "sectors": {name: ratio(accesses) for name, accesses in buffers.items()},
        "wavefronts": ratio(shared) if shared else 1.0,
        "worst_site": max((ratio([a]) for a in shared), default=1.0),
        "wavefronts_per_1000_elements": 1e3 * sum(a["transactions"] for a in shared) / elements,
        "barriers_per_block": launch["barriers"] / blocks,
    }


def ratio(accesses: list[Figures]) -> float:
    return float(sum(a["transactions"] for a in accesses) / sum(a["ideal"] for a in accesses))


def audit() -> dict[str, Figures]:
    module = cuda_sim_module("fnet_cuda_test")
    found: dict[str, Figures] = {}
    for seq, hidden, dtype in CASES:
        launches = audited(module, seq, hidden, dtype, False)
        launches += audited(module, seq, hidden, dtype, True)
        for launch in launches:
            found[f"{launch.pop('kernel')} {seq}x{hidden} {dtype}"] = launch
    return found


ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'")
MANGLED = re.compile(
    r"\S*?\d(?P<name>[a-z_]+)_kernelI(?P<type>f|d|NS_8BFloat16E|NS_7Float16E)"
    r"(?:Li(?P<number>\d+)E)?"
)
TYPES = {"f": "float32", "d": "float64", "NS_8BFloat16E": "bfloat16", "NS_7Float16E": "float16"}


def compiled(toolkit: fnet_nvcc.Toolkit) -> dict[str, dict[str, Figures]]:
    """What ptxas reports for every kernel, by architecture."""
    module = cuda_sim_module("fnet_cuda_test")
    blocks = {dtype: module.blocks(dtype) for dtype in TYPES.values()}
    # As `make cuda-build` compiles them, whose objects and logs then serve here.
    os.environ["TORCH_CUDA_ARCH_LIST"] = ";".join(f"{a[:-1]}.{a[-1]}" for a in ARCHITECTURES)
    os.environ.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
    csrc = ROOT / "csrc"
    sources = sorted((csrc / "cuda").glob("**/*.cu"))
    folder = ROOT / "build" / "objects" / "cuda"
    names = [path.relative_to(ROOT).as_posix() for path in sources]
    headers = [str(path) for path in csrc.glob("**/*.h")]
    objects = fnet_nvcc.compile_all(toolkit, names, headers, csrc, folder, [])
    logs = [Path(name).with_suffix(".log").read_text() for name in objects]
    for name, log in zip(names, logs, strict=True):
        if "warning" in log:
            raise SystemExit(f"{name}:\n{log}")
    listings = sass(objects)
    found: dict[str, dict[str, Figures]] = {a: {} for a in ARCHITECTURES}
    for entry in "".join(logs).split("ptxas info    : ")[1:]:
        compiling = ENTRY.match(entry)
        match = MANGLED.match(compiling[1]) if compiling else None
        if compiling and match:
            name, architecture = match["name"], compiling[2]
            threads, shared = (1024, 8192) if name == "add_chunks" else (128, 0)
            parts, elements = [TYPES[match["type"]]], 0
            if name in blocks[parts[0]]:
                lines, threads, shared, _, elements = blocks[parts[0]][name][int(match["number"])]
                parts.append(lines)
            elif match["number"]:
                parts.append(f"{match['number']} wide")
            figures: Figures = {"threads": threads, "shared": shared}
            if elements:
                listing = listings.get((architecture, compiling[1]))
                if not listing:
                    raise SystemExit(f"cuobjdump shows nothing of {compiling[1]}")
                figures["instructions_per_element"] = round(len(listing) / elements, 2)
                if name == "seq_grad":
                    figures["loads_in_flight"] = loads_in_flight(listing)
                    figures["traps"] = sum("BPT.TRAP" in line for line in listing)
            found[architecture][f"{name}<{', '.join(parts)}>"] = figures
        spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        if spilled:
            figures["spill_bytes"] = int(spilled[1]) + int(spilled[2])
            frame = re.search(r"(\d+) bytes stack frame", entry)
            figures["stack_bytes"] = int(frame[1]) if frame else 0
        used = re.match(r"Used (\d+) registers", entry)
        if used:
            figures["registers"] = int(used[1])
            figures["occupancy"] = occupancy(figures, architecture)
    return {a: dict(sorted(kernels.items())) for a, kernels in found.items()}


def sass(objects: list[str]) -> dict[tuple[str, str], list[str]]:
    """The instructions of each kernel, by architecture and mangled name: as written.

    row_grad runs half of its own twice, and no kernel runs all of its epilogues.
    """
    packages = Path(sysconfig.get_path("purelib"), "nvidia").glob("cu[0-9]*/bin/cuobjdump")
    tool = shutil.which("cuobjdump") or next(map(str, sorted(packages)), None)
    if tool is None:
        raise SystemExit("there is no cuobjdump: pip install nvidia-cuda-cuobjdump and -nvdisasm")
    path = f"{Path(tool).parent}{os.pathsep}{os.environ['PATH']}"  # it calls nvdisasm
    found: dict[tuple[str, str], list[str]] = {}
    architecture, listing = "", []
    for file in objects:
        command = [tool, "-sass", file]
        output = subprocess.run(
            command, env={**os.environ, "PATH": path}, check=True, capture_output=True, text=True
        )
        for line in output.stdout.splitlines():
            if match := re.match(r"\s*code for sm_(\d+)", line):
                architecture = match[1]
            elif match := re.match(r"\s*Function : (\S+)", line):
                listing = found[architecture, match[1]] = []
            elif match := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s*([^;]*);", line):
                listing.append(match[1].strip())
    return found


def loads_in_flight(listing: list[str]) -> float:
    """Loads of dx that a thread of seq_grad issues before it waits for the first: the mean length
    of a burst between stores, over the direct columns, which end where the next tile is awaited."""
    bursts, length = [], 0
    for line in listing:
        opcode = line.split()[1] if line.startswith("@") else line.split()[0]
        if opcode.startswith("LD.") and "STRONG" in opcode:
            break
        if opcode.startswith("LDG") and "CONSTANT" not in opcode:
            length += 1
        elif opcode.startswith("STG") and length:
            bursts.append(length)
            length = 0
    if not bursts:
        raise SystemExit("seq_grad loads nothing before it awaits: its listing has changed")
    return round(sum(bursts) / len(bursts), 2)


def occupancy(kernel: Figures, architecture: str) -> float:
    """Resident threads over the maximum of a multiprocessor."""
    registers, threads, shared, blocks = LIMITS[architecture]
    of_a_warp = -(-kernel["registers"] * 32 // 256) * 256
    resident = min(
        registers // of_a_warp // (kernel["threads"] // 32),
        threads // kernel["threads"],
        shared // (kernel["shared"] + 1024),  # 1 KB of each block is the system's
        blocks,
    )
    return float(resident * kernel["threads"] / threads)


def misses(report: Figures) -> list[str]:
    """The targets that are missed."""
    found = []

    def check_target(what: str, value: float, most: float) -> None:
        if value > most + 1e-9:
            found.append(f"{what}: {value:.3f}, at most {most:g}")

    audit = report["audit"]
    for kernels, limits in MOST_BYTES.items():
        for dtype, most in limits.items():
            names = [f"{kernel} 512x768 {dtype}" for kernel in kernels]
            total = sum(audit[name]["bytes_per_element"] for name in names)
            check_target(f"bytes per element of {' and '.join(names)}", total, most)
    for name, figures in audit.items():
        for buffer, value in figures["sectors"].items():
            access = f"{name} {buffer.split()[0]}"
            most = next(m for kind, m in MOST_SECTORS.items() if fnmatchcase(access, kind))
            check_target(f"{name}: sectors, {buffer}", value, most)
        check_target(f"{name}: wavefronts", figures["wavefronts"], MOST_WAVEFRONTS)
        check_target(f"{name}: wavefronts at a site", figures["worst_site"], MOST_AT_A_SITE)
    for architecture, kernels in report["compiler"].items():
        for name, figures in kernels.items():
            where = f"sm_{architecture} {name}"
            check_target(f"{where}: spilled bytes", figures["spill_bytes"], 0)
            # An array that is indexed at run time lies in local memory, without a spill.
            check_target(f"{where}: stack frame", figures["stack_bytes"], 0)
            if "loads_in_flight" in figures:
                seq = int(name.split(", ")[1].split(" ")[0])
                least = min(4 if "float32" in name else 8, MOST_POINTS.get(seq, 8))
                check_target(
                    f"{where}: loads in flight, below", -figures["loads_in_flight"], -least
                )
                check_target(f"{where}: kernels without a trap", 1 - figures["traps"], 0)
    return found


def worse(new: Any, old: Any, where: str = "") -> list[str]:
    """Figures of `new` that are worse than those of `old`, or are missing."""
    if isinstance(new, dict) and isinstance(old, dict):
        gone = [f"{where}/{key}"[1:] + ": has vanished" for key in old if key not in new]
        both = (w for key in new if key in old for w in worse(new[key], old[key], f"{where}/{key}"))
        return [*gone, *both]
    if isinstance(new, (int, float)) and not where.endswith(("/registers", "/threads", "/shared")):
        better_high = where.endswith(("/occupancy", "/loads_in_flight"))
        fell = new < old - 1e-9 if better_high else new > old + 1e-9
        return [f"{where[1:]}: {new:g}, was {old:g}"] if fell else []
    return []


def show(report: Figures) -> None:
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
                f"{100 * f['occupancy']:.0f} %",
                str(f.get("instructions_per_element", "")),
                str(f.get("loads_in_flight", "")),
            ]
            for name, f in kernels.items()
        ]
        print(f"\nsm_{architecture}")
        head = ["kernel", "threads", "registers", "spilled", "shared", "occupancy"]
        print(table([*head, "instructions written/elem", "dx loads"], rows))
        few = [
            name.split("<")[0] for name, f in kernels.items() if f["occupancy"] < LEAST_OCCUPANCY
        ]
        print(f"{len(few)} of {len(kernels)} kernels below {LEAST_OCCUPANCY:.0%}")
        for name in sorted(set(few)):
            print(f"  {few.count(name)} of {name}: {REASONS[name]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    parser.add_argument("--audit-only", action="store_true", help="leave nvcc out")
    args = parser.parse_args()
    report: Figures = {"audit": audit(), "compiler": {}, "reasons": REASONS}
    try:
        toolkit = None if args.audit_only else fnet_nvcc.find_toolkit()
    except fnet_nvcc.CannotBuild as error:
        print(f"the compiler's half is absent: {error}")
        toolkit = None
    if toolkit is not None:
        report["nvcc"] = ".".join(map(str, toolkit.version))
        report["compiler"] = compiled(toolkit)
    show(report)
    problems = misses(report)
    if args.check:
        before = json.loads(RESULT.read_text())
        if report.get("nvcc") != before["nvcc"]:  # another compiler, other registers
            del before["compiler"]
        problems += worse(report, before)
    else:
        RESULT.write_text(json.dumps(report, indent=1) + "\n")
        print(f"\nwritten: {RESULT.relative_to(ROOT)}")
    for problem in problems:
        print(f"WORSE OR MISSED: {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
