"""Floors that are not in the results of a study.

defines: LINEAR, with_linear
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: What tables call the model of examples.studies.linear.
LINEAR = "linear model of words"


def with_linear(result: Mapping[str, Any], sets: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A result with the accuracy of the linear model on its data as one more floor, if known.

    Args:
        result: of a study, or of a length of the latency budget.
        sets: what `examples.studies.linear` found.
    """
    known = {each["data"]["sha256"]: each["accuracy"] for each in sets}
    found = known.get(result.get("data", {}).get("sha256"))
    if found is None:
        return dict(result)
    return {**result, "floors": {LINEAR: [found], **result.get("floors", {})}}
