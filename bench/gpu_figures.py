"""The figures of a GPU run as Markdown, made from the JSON file of `python -m bench.gpu`.

defines: gpu_line, gpu_section

Every function reads JSON and returns Markdown. No figure is typed by hand.
"""

from __future__ import annotations

from typing import Any

from bench.figures import rows_of

OURS = "ours cuda"
#: Columns of the table: the heading, and the contestants, of which the fastest counts.
RIVALS = {
    "formula": ("fftn",),
    "compiled": ("fftn compiled",),
    "best torch": (
        *("fftn", "fftn compiled", "rfft2 + mirror", "rfft2 + mirror compiled"),
        *("fold", "fold compiled"),
    ),
    "attention": (
        *("self-attention", "self-attention, flash", "self-attention, cuDNN"),
        "self-attention, memory-efficient",
    ),
    "`layer_norm(x + x)`": ("layer_norm(x + x)",),
    "copy": ("copy", "copy by a kernel"),
}


def _over(times: dict[str, Any], rivals: tuple[str, ...], digits: int = 2) -> str:
    """The time of the fastest rival over ours, or nothing if none was measured."""
    ratios = [times[name]["over_ours"] for name in rivals if name in times]
    return f"{min(ratios):.{digits}f}x" if ratios else ""


def gpu_section(run: dict[str, Any]) -> str:
    """Times of the operators on one GPU, in graphs, and the targets."""
    times = rows_of(
        ["operator, shape, dtype", "ours", *RIVALS],
        [
            [what, f"{of[OURS]['median_us']:.1f} us", *(_over(of, r) for r in RIVALS.values())]
            for what, of in run["times"].items()
            if OURS in of and not what.startswith("first times")
        ],
    )
    targets = rows_of(
        ["target", "where", "limit", "measured", ""],
        [
            [t["target"], t["where"], t["limit"], f"{t['measured']:.2f}", _outcome(t["met"])]
            for t in run["targets"]
        ],
    )
    machine = run["machine"]
    return (
        f"{machine['name']}, torch {machine['torch']}, {machine['date'][:10]}. Medians of graphs"
        " that replay in turn\nover inputs of four times L2. A ratio is the time of an alternative"
        f" over ours.\n\n{times}\n\n{targets}"
    )


def _outcome(met: bool) -> str:
    return "" if met else "missed"


def gpu_line(run: dict[str, Any]) -> str:
    """The README's highlight: the usual shape, forward and with the backward pass."""
    forward, step = (
        run["times"][f"{what}, 32x512x768 bf16"] for what in ("forward", "forward + backward")
    )
    formula, attention = (
        " and ".join(_over(of, RIVALS[rival], 1) for of in (forward, step))
        for rival in ("formula", "attention")
    )
    return (
        f"- **On an NVIDIA {run['machine']['name'].split()[1]}**, 32 x 512 x 768 in bfloat16:"
        f" {forward[OURS]['median_us']:.0f} us forward, {step[OURS]['median_us']:.0f} us with the"
        f" backward\n  pass. That is {formula} faster than the formula, {attention} faster than"
        " attention."
    )
