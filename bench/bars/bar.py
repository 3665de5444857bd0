"""A promise in figures, and a measured ratio held against it.

defines: Bar, text
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A promise: a ratio that must be at least, or at most, `limit`."""

    name: str
    limit: float
    at_least: bool

    def keeps(self, ratio: float) -> bool:
        """Whether `ratio` is good enough; what is not a number is not."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def verdict(self, ratio: tuple[float, float, float], **about: Any) -> dict[str, Any]:
        """The measured ratio (first quartile, median, third) held against the limit.

        `about` says where it was measured, and joins the verdict.
        """
        low, middle, high = ratio
        ends = {"measured": middle, "q1": low, "q3": high, "pass": self.keeps(middle)}
        return {"bar": self.name, **about, "limit": str(self), **ends}

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


def text(verdict: dict[str, Any]) -> str:
    """The measured ratio, with its quartiles where there are rounds."""
    measured = f"{verdict['measured']:.2f}"
    if verdict["q1"] != verdict["q3"]:
        measured += f" ({verdict['q1']:.2f} to {verdict['q3']:.2f})"
    return measured
