"""The choice of an instruction set. test_accuracy.py tests the accuracy of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from fnet_kernels._ops.load import operators
from python_tests.helpers.forks import Forks

ISAS = operators.cpu_isas().split(",")


def test_choice(each_isa: Callable[[], Iterator[str]]) -> None:
    for isa in each_isa():
        assert operators.cpu_isa() == isa
    operators.set_cpu_isa("auto")
    assert operators.cpu_isa() == ISAS[0]
    with pytest.raises(RuntimeError, match=r"set_cpu_isa: expected auto or one of .*, got abacus"):
        operators.set_cpu_isa("abacus")
    assert operators.cpu_isa() == ISAS[0]


@pytest.mark.parametrize(
    ("value", "used", "warned"),
    [
        ("avx1024", ISAS[0], True),
        ("AVX2", ISAS[0], True),
        (ISAS[-1], ISAS[-1], False),
        ("auto", ISAS[0], False),
        ("", ISAS[0], False),
    ],
)
def test_a_wrong_variable_is_reported_once(
    forks: Forks, value: str, used: str, warned: bool
) -> None:
    script = """
import torch
from fnet_kernels import fourier_mix
for _ in range(2):
    fourier_mix(torch.ones(2, 4, 8))
print(torch.ops.fnet_kernels.cpu_isa())
"""
    done = forks.run(script, env={**os.environ, "FNET_CPU_ISA": value})
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{used}\n"
    message = (
        f"fnet_kernels: FNET_CPU_ISA: expected auto or one of {','.join(ISAS)}, got {value}; using"
        f" {used}\n"
    )
    assert done.stderr == (message if warned else "")
