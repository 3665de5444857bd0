"""The limits of the report's figures, and what misses them or is worse than before.

defines: misses, worse, compared
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from tools.kernel_report import Figures
from tools.kernel_report.compiled import OTHERS
from tools.kernel_report.passes import PASSES

#: Sectors over the minimum by "kernel seq x hidden dtype buffer"; the first match counts. seq_fft
#: reads columns and their mirrors, which are misaligned by one element, so neighbouring tiles share
#: sectors; a backward pass reads them of grad or of dx. At length 8192 a tile of 16-bit numbers is
#: half a sector wide (lengths.h). Weights of mirrored columns are read one by one, from L1, once a
#: block. The statistics of mirrored rows are misaligned by one too.
MAX_SECTORS = {
    "seq_fft 8192x* *float16 x": 2.75,
    "seq_fft * x": 1.5,
    "seq_fft * grad": 1.5,
    "seq_fft * dx": 1.5,
    "seq_fft *, pre-norm* spectrum": 1.3,
    "seq_fft * weight": 1.75,
    "seq_fft * bias": 1.75,
    "*": 1.1,
}
MAX_WAVEFRONTS, MAX_AT_A_SITE = 1.2, 2.0


def misses(report: Figures) -> list[str]:
    """Describe every missed target."""
    found = []

    def check_target(what: str, value: float, maximum: float) -> None:
        if value > maximum + 1e-9:
            found.append(f"{what}: {value:.3f}, at most {maximum:g}")

    audit = report["audit"]
    for name, figures in report["passes"].items():
        value, most = figures["bytes_per_element"], figures["most"]
        check_target(f"{name}: bytes per element", value, most)
    for one in PASSES:
        if one.cleared_bytes:
            name = one.kernel("clear_rows")
            value, most = audit[name]["bytes_per_element"], one.cleared_bytes / one.elements
            check_target(f"{name}: bytes per element", value, most)
    for name, figures in audit.items():
        for buffer, value in figures["sectors"].items():
            access = f"{name} {buffer.split()[0]}"
            maximum = next(m for kind, m in MAX_SECTORS.items() if fnmatchcase(access, kind))
            check_target(f"{name}: sectors, {buffer}", value, maximum)
        check_target(f"{name}: wavefronts", figures["wavefronts"], MAX_WAVEFRONTS)
        check_target(f"{name}: wavefronts at a site", figures["worst_site"], MAX_AT_A_SITE)
    for architecture, kernels in report["compiler"].items():
        for name, figures in kernels.items():
            if figures["occupancy"] == 0:
                continue  # its block fits on no such device, so it never runs
            where = f"sm_{architecture} {name}"
            check_target(f"{where}: spilled bytes", figures["spill_bytes"], 0)
            # An array with run-time indices is in local memory, which is not reported as a spill.
            check_target(f"{where}: stack frame", figures["stack_bytes"], 0)
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
