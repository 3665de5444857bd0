"""Sharded tensors: values, placements and communication, in four processes on the CPU."""

from __future__ import annotations

import pytest
import torch.distributed

if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("torch is built without gloo", allow_module_level=True)

from python_tests.distributed.cases import CASES
from python_tests.distributed.ranks import run
from python_tests.helpers.forks import Forks


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    return run("python_tests.distributed.cases")


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"control"}))
def test_dtensor(name: str, failures: dict[str, str]) -> None:
    if failures[name]:
        pytest.fail(failures[name], pytrace=False)


def test_a_failing_rank_is_seen(failures: dict[str, str]) -> None:
    assert "rank 2" in failures["control"]
    assert "ValueError: seen" in failures["control"]


@pytest.mark.parametrize("first", ["fnet_kernels", "torch.distributed.tensor"])
def test_either_may_be_imported_first(forks: Forks, first: str) -> None:
    """The package does not import DTensor, which takes over a second."""
    code = f"""
import sys, {first}
import fnet_kernels
if {first!r} == "fnet_kernels":
    assert "torch.distributed.tensor" not in sys.modules
from torch.distributed.tensor import DTensor
rules = DTensor._op_dispatcher.sharding_propagator.op_strategy_funcs
print(len([op for op in rules if "fnet_kernels" in str(op)]))
assert not [finder for finder in sys.meta_path if getattr(finder, "name", "").endswith(".tensor")]
"""
    found = forks.run(code)
    assert (found.returncode, found.stdout) == (0, "15\n"), found.stderr
