"""The curves of a run as a picture, from its log: `python -m examples.training.curves runs/latest`.

defines: draw
"""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.training.failures import writing
from examples.training.log import records

FILE = "curves.png"


def draw(folder: Path) -> Path | None:
    """Draw losses and accuracy over the steps; None without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    kinds = ("step", "validation")
    found = {kind: [one for one in records(folder) if one["kind"] == kind] for kind in kinds}
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    for kind, label in zip(kinds, ("training", "validation"), strict=True):
        lines = [one for one in found[kind] if "loss" in one]
        axes.plot([one["step"] for one in lines], [one["loss"] for one in lines], label=label)
    axes.legend(loc="upper left", frameon=False)
    judged = [one for one in found["validation"] if "accuracy" in one]
    if judged:
        right = axes.twinx()
        right.set(ylabel="validation accuracy", ylim=(0, 1))
        accuracy = [one["accuracy"] for one in judged]
        right.plot([one["step"] for one in judged], accuracy, color="C2")
    path = folder / FILE
    with writing(path):
        figure.savefig(path, dpi=120)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("folder", type=Path, help="of a run")
    print(draw(parser.parse_args().folder) or "matplotlib is not installed")
