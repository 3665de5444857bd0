"""Graphs of mixers: which lengths an exported or traced one serves, and that it is right there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels.mixers import create_mixer, list_mixers
from python_tests.helpers.close import assert_close

pytestmark = pytest.mark.usefixtures("one_thread")

HIDDEN, SEQ = 8, 16
#: docs/models.md names them.
ANY = {"attention", "fourier", "hartley", "none"}
FROM_5 = {"dct", "fourier_seq"}


def served(
    graph: Callable[[Tensor], Tensor], mixer: nn.Module, lengths: Iterable[int]
) -> list[int]:
    """The lengths that a graph does not refuse, at which it must equal the mixer."""
    found = []
    for n in lengths:
        x = torch.randn(2, n, HIDDEN)
        try:
            y = graph(x)
        except Exception:
            continue
        assert_close(y, mixer(x))
        found.append(n)
    return found


@pytest.mark.parametrize("name", list_mixers())
def test_an_exported_mixer_serves_the_documented_lengths(name: str) -> None:
    mixer = create_mixer(name, HIDDEN, SEQ).eval()
    free = ({1: torch.export.Dim.AUTO},)
    program = torch.export.export(mixer, (torch.randn(2, SEQ, HIDDEN),), dynamic_shapes=free)
    least = 1 if name in ANY else 5 if name in FROM_5 else SEQ
    expected = list(range(least, SEQ + 1))
    assert served(program.module(), mixer, range(1, SEQ + 1)) == expected


@pytest.mark.parametrize("name", sorted(set(list_mixers()) - {"filter"}))
def test_a_traced_mixer_is_right_or_an_error(name: str) -> None:
    mixer = create_mixer(name, HIDDEN, SEQ).eval()
    example = torch.randn(2, SEQ, HIDDEN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(mixer, (example,), check_trace=False)
    assert SEQ in served(traced, mixer, (4, 8, 12, SEQ))
