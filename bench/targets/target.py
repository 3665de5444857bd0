"""A performance target, and the check of a measured ratio against it.

defines: Target, text
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A ratio must be at least `limit`, or at most `limit` if `at_least` is false."""

    name: str
    limit: float
    at_least: bool

    def is_met(self, ratio: float) -> bool:
        """Whether `ratio` meets the target; NaN does not."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit

    def check(self, ratio: tuple[float, float, float], **about: Any) -> dict[str, Any]:
        """Check a measured ratio, given as first quartile, median and third quartile.

        Returns the result as a JSON object. `about` describes the measurement and is included.
        """
        low, middle, high = ratio
        ends = {"measured": middle, "q1": low, "q3": high, "met": self.is_met(middle)}
        return {"target": self.name, **about, "limit": str(self), **ends}

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


def text(result: dict[str, Any]) -> str:
    """The measured ratio of a result, with its quartiles if they differ."""
    measured = f"{result['measured']:.2f}"
    if result["q1"] != result["q3"]:
        measured += f" ({result['q1']:.2f} to {result['q3']:.2f})"
    return measured
