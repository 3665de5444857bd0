"""Accuracies of the FNet paper (arXiv 2105.03824), on its own data and at its own sizes.

defines: HEADINGS, reported
"""

from __future__ import annotations

#: What each column is.
HEADINGS = {
    "GLUE": "GLUE average of Base models",
    "ListOps": "LRA ListOps",
    "Text": "LRA Text (IMDB, bytes)",
    "Image": "LRA Image (CIFAR-10)",
}
#: By column and mixer. The paper tells ablations as differences from Fourier.
_FIGURES = {
    "GLUE": {
        "attention": "83.3",
        "hybrid": "80.6",
        "linear": "77.0",
        "fourier": "76.7",
        "none": "49.3",
        "hartley": "as Fourier",
        "hadamard": "about 2 below Fourier",
        "dct": "about 4 below Fourier",
    },
    "ListOps": {"attention": "36.06", "fourier": "35.33"},
    "Text": {"attention": "61.54", "fourier": "65.11"},
    "Image": {"attention": "41.51", "fourier": "38.67"},
}


def reported(column: str, variant: str) -> str:
    """The paper's figure of the variant of a study; empty if it has none."""
    return _FIGURES[column].get(variant.removesuffix("-paper"), "")
