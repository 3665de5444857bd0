"""What the ranks of test_dtensor.py do: distributed results are compared with local ones."""

from __future__ import annotations

# Each module adds its cases when it is imported.
from python_tests.distributed import (  # noqa: F401
    argument_cases,
    model_cases,
    module_cases,
    placement_cases,
)
from python_tests.distributed.shards import CASES

__all__ = ["CASES"]
