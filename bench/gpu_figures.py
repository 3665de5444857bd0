"""The figures of a GPU run as Markdown, made from the JSON file of `python -m bench.gpu`.

defines: gpu_line, gpu_section

Every function reads JSON and returns Markdown. No figure is typed by hand.
"""

from __future__ import annotations

from typing import Any

from bench.figures import rows_of, wrapped
from bench.gpu.command import LAYER
from bench.gpu.models import BATCH, SEQ

OURS = "ours cuda"
#: Targets that older files call something else.
RENAMED = {"layer / layer without mixing": LAYER.name}
BEST_TORCH = "best torch"
#: Columns of the table: the heading, and the contestants, of which the fastest counts.
RIVALS = {
    "formula": ("fftn",),
    "compiled": ("fftn compiled",),
    BEST_TORCH: (
        *("fftn", "fftn compiled", "rfft2 + mirror", "rfft2 + mirror compiled"),
        *("fold", "fold compiled"),
    ),
    "attention": (
        *("self-attention", "self-attention, flash", "self-attention, cuDNN"),
        *("self-attention, memory-efficient", "self-attention compiled"),
    ),
    "`layer_norm(x + x)`": ("layer_norm(x + x)",),
    "copy": ("copy", "copy by a kernel"),
}
#: Columns of the table of encoder layers; ours compares with each.
LAYERS = ("formula", "self-attention", "LayerNorm(x)", "no mixing")


def _over(times: dict[str, Any], rivals: tuple[str, ...], digits: int = 2) -> str:
    """The fastest alternative's time divided by ours, or nothing if none was measured."""
    ratios = [times[name]["over_ours"] for name in rivals if name in times]
    return f"{min(ratios):.{digits}f}x" if ratios else ""


def _rival(times: dict[str, Any], column: str) -> str:
    """A cell of `RIVALS`. The best of torch is known only if all of its forms were timed."""
    rivals = RIVALS[column]
    if column == BEST_TORCH and not times.keys() >= set(rivals):
        return "not timed"
    return _over(times, rivals)


def _layers(run: dict[str, Any]) -> str:
    """Times of encoder layers, or nothing if none was measured."""
    ours = "layer: ours"
    rows = [
        [
            what.removeprefix("encoder layer, "),
            f"{of[ours]['median_us']:.1f} us",
            *(_over(of, (f"layer: {name}",)) for name in LAYERS),
        ]
        for what, of in run["times"].items()
        if ours in of
    ]
    return rows_of(["encoder layer, forward", "ours", *LAYERS], rows) if rows else ""


def _models(run: dict[str, Any]) -> str:
    """Times of whole models, or nothing if none was measured."""
    rows = [
        [
            f"{row['model']}-Base",
            row["dtype"],
            task,
            f"{row['median_ms']:.1f} ms",
            *(f"{row[k]:.2f}x" if row[k] else "" for k in ("stock_over_this", "bert_over_this")),
        ]
        for task, of in run["models"].items()
        for row in of
    ]
    heads = ["whole model", "dtype", "task", "median", "stock fp32 / this", "BERT / this"]
    note = f"Whole models, {BATCH} x {SEQ} tokens, launches included; below 1x BERT is faster:"
    return f"{note}\n\n{rows_of(heads, rows)}" if rows else ""


def gpu_section(run: dict[str, Any]) -> str:
    """Times on one GPU of operators and layers, in graphs, and of whole models; the targets."""
    times = rows_of(
        ["operator, shape, dtype", "ours", *RIVALS],
        [
            [what, f"{of[OURS]['median_us']:.1f} us", *(_rival(of, column) for column in RIVALS)]
            for what, of in run["times"].items()
            if OURS in of and not what.startswith("first times")
        ],
    )
    targets = rows_of(
        ["target", "where", "limit", "measured", ""],
        [
            [
                RENAMED.get(t["target"], t["target"]),
                t["where"],
                t["limit"],
                f"{t['measured']:.2f}",
                _outcome(t["met"]),
            ]
            for t in run["targets"]
        ],
    )
    machine = run["machine"]
    compiled = any("self-attention compiled" in of for of in run["times"].values())
    about = wrapped(
        f"{machine['name']}, torch {machine['torch']}, {machine['date'][:10]}. Medians over CUDA"
        " graphs replayed in turn, on inputs of four times the L2 cache. A ratio is an"
        " alternative's time divided by ours. In fp32 TF32 is off. Attention is timed eager"
        f"{' and compiled' if compiled else ''}; in fp32 SDPA has no flash or cuDNN kernel. Best"
        " torch is shown where all its forms were timed, compiled ones too."
    )
    parts = (about, times, _layers(run), _models(run), targets)
    return "\n\n".join(filter(None, parts))


def _outcome(met: bool) -> str:
    return "" if met else "missed"


def gpu_line(run: dict[str, Any]) -> str:
    """The README's highlight: the usual shape, forward and with the backward pass."""
    forward, step = (
        run["times"][f"{what}, 32x512x768 bf16"] for what in ("forward", "forward + backward")
    )
    torch, attention = (
        " and ".join(_over(of, RIVALS[rival], 1) for of in (forward, step))
        for rival in (BEST_TORCH, "attention")
    )
    text = (
        f"- **On an NVIDIA {run['machine']['name'].split()[1]}**, 32 x 512 x 768 in bfloat16:"
        f" {forward[OURS]['median_us']:.0f} us forward, {step[OURS]['median_us']:.0f} us with the"
        f" backward pass, {torch} faster than the best torch timed, {attention} faster than"
        " attention."
    )
    ratios = {
        (row["model"], row["dtype"]): row["bert_over_this"]
        for row in run["models"].get("inference, eager", ())
    }
    if (bert := ratios.get(("FNet patched", "bfloat16"))) is not None and bert < 1:
        text += (
            f" Launched eagerly in inference, a whole FNet-Base takes {1 / bert:.1f} times as long"
            " as BERT."
        )
    return wrapped(text, indent="  ")
