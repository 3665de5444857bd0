"""Lengths that Python must not read: in traces, under `torch.vmap`, and without values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import fnet_kernels as fk
from fnet_kernels import onnx
from python_tests.helpers.close import assert_close

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning"),
]
Call = Callable[[Tensor, Tensor], Tensor]

WEIGHT, BIAS = torch.linspace(1, 2, 4), torch.linspace(-1, 1, 4)


def mix(x: Tensor, lengths: Tensor) -> Tensor:
    return fk.fourier_mix(x, lengths=lengths, scale=0.5, norm="ortho")


def mix_rounded(x: Tensor, lengths: Tensor) -> Tensor:
    return fk.fourier_mix(x, lengths=lengths, round_to=4)


def fused(x: Tensor, lengths: Tensor) -> Tensor:
    return fk.fused_fourier_mix(x, WEIGHT, BIAS, 1e-3, lengths=lengths)


def of_mask(x: Tensor, lengths: Tensor) -> Tensor:
    return fused(x, torch.arange(x.shape[-2]) < lengths[..., None])


CALLS = [mix, mix_rounded, fused, of_mask]


def example(*lengths: int, seq: int) -> tuple[Tensor, Tensor]:
    return torch.randn(len(lengths), seq, 4), torch.tensor(lengths)


@pytest.mark.parametrize("call", CALLS)
def test_a_trace_serves_other_lengths(call: Call) -> None:
    traced = torch.jit.trace(call, example(8, 5, seq=8))
    for inputs in (example(3, 2, seq=8), example(0, 7, 1, seq=9)):
        assert_close(traced(*inputs), call(*inputs), factor=4)


@pytest.mark.parametrize("call", CALLS)
def test_gradients_of_a_trace(call: Call) -> None:
    traced = torch.jit.trace(call, example(8, 5, seq=8))
    x, lengths = example(3, 2, seq=8)
    x[0, 3:] = float("nan")  # rows past a length are ignored
    x.requires_grad_()
    ours, right = (torch.autograd.grad(f(x, lengths).pow(3).sum(), x)[0] for f in (traced, call))
    assert_close(ours, right, factor=20)


def test_a_trace_checks_lengths() -> None:
    traced = torch.jit.trace(mix, example(8, 5, seq=8))
    for wrong in (9, -1):
        with pytest.raises(RuntimeError, match="lengths must be between 0 and 8"):
            traced(*example(wrong, 5, seq=8))
    x, mask = torch.randn(1, 3, 4), torch.tensor([[True, True, False]])
    traced = torch.jit.trace(lambda x, mask: fk.fourier_mix(x, lengths=mask), (x, mask))
    with pytest.raises(RuntimeError, match="a True after a False in sequence 0"):
        traced(x, mask.flip(-1))


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_keeps_lengths_open(mode: Any) -> None:
    graph = make_fx(mix, tracing_mode=mode)(*example(8, 5, seq=8))
    inputs = example(3, 2, seq=8)
    assert_close(graph(*inputs), mix(*inputs))


@pytest.mark.parametrize("call", CALLS)
def test_make_fx_decomposes(call: Call) -> None:
    inputs = example(8, 5, seq=8)
    graph = make_fx(call, decomposition_table=onnx.decompositions())(*inputs)
    assert "fnet_kernels" not in str(graph.graph)
    x, lengths = example(3, 2, seq=8)
    x[0, 3:] = float("nan")  # rows past a length are ignored
    assert_close(graph(x, lengths), call(x, lengths), factor=10)


@pytest.mark.parametrize("call", CALLS)
def test_vmap_over_lengths(call: Call) -> None:
    x, lengths = torch.randn(3, 2, 8, 4), torch.tensor([[8, 5], [3, 2], [0, 7]])
    pairs = list(zip(x, lengths, strict=True))
    assert_close(torch.vmap(call)(x, lengths), torch.stack([call(*p) for p in pairs]), factor=4)
    one_x = torch.stack([call(x[0], n) for n in lengths])
    assert_close(torch.vmap(call, in_dims=(None, 0))(x[0], lengths), one_x, factor=4)
    one_n = torch.stack([call(t, lengths[1]) for t in x])
    assert_close(torch.vmap(call, in_dims=(0, None))(x, lengths[1]), one_n, factor=4)

    gradient = torch.func.grad(lambda x, n: call(x, n).pow(3).sum())
    expected = []
    for t, n in pairs:
        t.requires_grad_()
        expected.append(torch.autograd.grad(call(t, n).pow(3).sum(), t)[0])
    assert_close(torch.vmap(gradient)(x, lengths), torch.stack(expected), factor=20)
    assert_close(gradient(x[1], lengths[1]), expected[1], factor=20)


def test_forward_mode_under_vmap() -> None:
    x, lengths = torch.randn(3, 2, 8, 4), torch.tensor([[8, 5], [3, 2], [0, 7]])
    y, tangent = torch.func.jvp(lambda x: torch.vmap(mix)(x, lengths), (x,), (x,))
    assert_close(tangent, y)


def test_vmap_checks_lengths() -> None:
    with pytest.raises(ValueError, match="lengths must be between 0 and 8"):
        torch.vmap(mix)(torch.randn(2, 1, 8, 4), torch.tensor([[3], [9]]))


def test_without_values() -> None:
    x, lengths = example(8, 5, seq=8)

    def bare(x: Tensor, lengths: Tensor) -> Tensor:
        return fk.fused_fourier_mix(x, lengths=lengths)

    for call in (mix, mix_rounded, bare):
        assert call(x.to("meta"), lengths.to("meta")).is_meta
        with FakeTensorMode():
            assert call(torch.randn(2, 8, 4), torch.tensor([8, 5])).shape == x.shape
        with pytest.raises(ValueError, match="lengths must be on the CPU or on the device of x"):
            call(x, lengths.to("meta"))


def test_a_list_of_lengths_needs_no_values() -> None:
    assert fk.fourier_mix(torch.empty(2, 8, 4, device="meta"), lengths=[8, 5]).is_meta


@pytest.mark.parametrize("call", [fk.fourier_mix_varlen, fk.fused_fourier_mix_varlen])
def test_offsets_that_cannot_be_read_are_refused(call: Call) -> None:
    x, offsets = torch.randn(8, 4), torch.tensor([0, 5, 8])
    expected = "cu_seqlens must be a list of ints, or a tensor whose values Python can read; got a"
    with pytest.raises(ValueError, match=f"{expected} tensor under torch.jit.trace"):
        torch.jit.trace(call, (x, offsets))
    with pytest.raises(ValueError, match=f"{expected} tensor that torch.vmap maps over"):
        torch.vmap(call)(torch.stack([x, x]), torch.stack([offsets, offsets]))
    with pytest.raises(ValueError, match=f"{expected} tensor on meta"):
        call(x, offsets.to("meta"))
    with FakeTensorMode(), pytest.raises(ValueError, match=f"{expected} FakeTensor"):
        call(torch.randn(8, 4), torch.tensor([0, 5, 8]))


def test_offsets_of_a_transformed_function() -> None:
    """`torch.func.grad` wraps all arguments; the values of these are known."""
    x, offsets = torch.randn(8, 4), torch.tensor([0, 5, 8])
    found = torch.func.grad(lambda x, n: fk.fourier_mix_varlen(x, n).sum())(x, offsets)
    assert_close(found, fk.fourier_mix_varlen(torch.ones_like(x), offsets))
