"""The tables of the kernel report.

defines: show, REASONS
"""

from __future__ import annotations

from fnet_kernels._terminal import table
from tools.kernel_report import Figures

MIN_OCCUPANCY = 0.5
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


def show(report: Figures) -> None:
    """Print the tables."""
    rows = [
        [name, *(f"{value:.2f}" for value in f.values())] for name, f in report["passes"].items()
    ]
    print(table(["pass", "bytes/elem", "minimum", "at most"], rows), end="\n\n")
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
