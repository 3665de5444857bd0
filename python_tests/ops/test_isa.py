"""The choice of an instruction set. test_accuracy.py tests the accuracy of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fnet_kernels._ops.load import operators

ISAS = operators.cpu_isas().split(",")


def test_choice(each_isa: Callable[[], Iterator[str]]) -> None:
    for isa in each_isa():
        assert operators.cpu_isa() == isa
    operators.set_cpu_isa("auto")
    assert operators.cpu_isa() == ISAS[0]
    with pytest.raises(RuntimeError, match=r"set_cpu_isa: expected auto or one of .*, got abacus"):
        operators.set_cpu_isa("abacus")
    assert operators.cpu_isa() == ISAS[0]
