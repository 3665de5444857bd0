"""The operators on the device together with autograd, torch.compile, autocast and modules."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import pytest
import torch
from on_device import ALL_DTYPES, REHEARSAL, device, inputs, randn, step
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

import fnet_kernels as fk
from bench.contestants.registry import CONTESTANTS, best_of_ours, pin
from bench.measure.timing import Problem, prepared, ready, time_all
from fnet_kernels import hf, reference
from fnet_kernels.mixers import create_mixer, list_mixers
from python_tests.helpers.fnet_models import agree, batch, build, results

OPS = torch.ops.fnet_kernels
SHAPES = [(2, 16, 64), (2, 6, 10)]  # our kernels; the general path
if REHEARSAL:
    SHAPES = SHAPES[1:]
DTYPES = ALL_DTYPES[:1] if REHEARSAL else ALL_DTYPES


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual.double() - expected.double()).abs().max() / expected.double().abs().max())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_opcheck(shape: tuple[int, ...], affine: bool, dtype: torch.dtype) -> None:
    x, weight, bias = (t.requires_grad_() for t in inputs(*shape, dtype=dtype))
    vectors = (weight, bias) if affine else (None, None)
    # The default tolerances are too tight for gradients in 16 bits.
    loose = {"rtol": 1e-2, "atol": 1e-2} if dtype.itemsize == 2 else {}
    opcheck(OPS.fourier_mix.default, (x, 0.5, True), **loose)
    opcheck(OPS.hartley_mix.default, (x, 0.5), **loose)
    opcheck(OPS.fused_fourier_mix.default, (x, *vectors, 1e-5, 0.5), **loose)
    opcheck(OPS.fused_fourier_mix_train.default, (x, *vectors, 1e-5, 0.5), **loose)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_opcheck_backward(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(*shape, dtype=dtype)
    _, rows, rstd = OPS.fused_fourier_mix_train(x, weight, bias, 1e-5, 0.5)
    for wanted in ((True, True), (True, False), (False, False)):
        args = (torch.randn_like(x), rows, rstd, weight, 0.5, *wanted)
        opcheck(OPS.fused_fourier_mix_backward.default, args)


def test_gradcheck() -> None:
    args = [t.requires_grad_() for t in inputs(2, 5, 6, dtype=torch.float64)]
    mix = lambda *args: fk.fused_fourier_mix(*args, 1e-3, scale=0.3)  # noqa: E731
    assert gradcheck(mix, args)
    assert gradgradcheck(mix, args)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block", [(True, "layer"), (True, "rms"), (False, "rms")], ids=str)
def test_the_other_blocks(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    """Pre-norm, RMSNorm and a residual, forward and backward."""
    x, weight, bias = (t.requires_grad_() for t in inputs(*shape, dtype=dtype))
    given = (x, weight) if block[1] == "rms" else (x, weight, bias)
    wide = [t.detach().double().requires_grad_() for t in given]
    options = {"eps": 0.5, "norm": "ortho", "norm_first": block[0], "norm_type": block[1]}
    results = []
    for ops, args in ((fk, given), (reference, wide)):
        y = ops.fused_fourier_mix(*args, **options)  # type: ignore[attr-defined]
        z = ops.fourier_mix(y, norm="ortho", residual=args[0])  # type: ignore[attr-defined]
        grads = torch.autograd.grad(z, args, torch.ones_like(z) + z.detach() * 0.1)
        results.append([z.detach(), *grads])
    limit = {2: 4 * torch.finfo(dtype).eps, 4: 1e-5, 8: 1e-12}[dtype.itemsize]
    for mine, truth in zip(*results, strict=True):
        assert mine.dtype == dtype
        assert relative_error(mine, truth) < limit


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(dynamic: bool) -> None:
    torch.compiler.reset()
    compiled = torch.compile(
        lambda *args: fk.fused_fourier_mix(*args).sin().sum(),
        fullgraph=True,
        dynamic=dynamic,
        backend=device.backend,
    )
    for seq in (16, 32, 37) if dynamic else (16,):
        args = [t.requires_grad_() for t in inputs(2, seq, 64)]
        mine = torch.autograd.grad(compiled(*args), args)
        expected = torch.autograd.grad(reference.fused_fourier_mix(*args).sin().sum(), args)
        for a, b in zip(mine, expected, strict=True):
            assert relative_error(a, b) < 1e-5


def test_graphs_of_the_compiler() -> None:
    """torch.compile captures the operators, too, and their workspace is in its memory pool."""
    torch.compiler.reset()
    how: dict[str, Any] = {"mode": "reduce-overhead"}
    layer = fk.FNetEncoderLayer(64, 128, dropout=0.0).to(device.type)
    compiled = torch.compile(layer, **({"backend": device.backend} if REHEARSAL else how))
    parameters = list(layer.parameters())
    for _ in range(4):  # warm-up, recording, replays
        x = randn(2, 16, 64)
        torch.compiler.cudagraph_mark_step_begin()
        mine = torch.autograd.grad(compiled(x).sin().sum(), parameters)
        expected = torch.autograd.grad(layer(x).sin().sum(), parameters)
        for a, b in zip(mine, expected, strict=True):
            assert relative_error(a, b) < 1e-4


@pytest.mark.parametrize("name", list_mixers())
def test_mixers(name: str) -> None:
    """The device and the CPU agree, forward and backward."""
    mixer = create_mixer(name, 64, 16).double().eval()
    x = torch.randn(2, 16, 64, dtype=torch.float64, requires_grad=True)

    def run(mixer: torch.nn.Module, x: Tensor) -> list[Tensor]:
        y = mixer(x)
        return [y.detach(), *torch.autograd.grad(y.sin().sum(), [x, *mixer.parameters()])]

    expected = run(mixer, x)
    there = copy.deepcopy(mixer).to(device.type)
    found = run(there, x.detach().to(device.type).requires_grad_())
    narrow = run(there.float(), x.detach().float().to(device.type).requires_grad_())
    largest = max(float(t.abs().max()) for t in expected)  # some gradients are 0
    for ours, limit in ((found, 1e-12), (narrow, 1e-4)):
        for mine, truth in zip(ours, expected, strict=True):
            assert mine.device.type == device.type
            assert (mine.cpu().double() - truth).abs().max() < limit * largest


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="needs transformers")
def test_patched_transformers() -> None:
    stock = build(hidden_size=64).to(device.type)
    tokens = batch()["input_ids"].to(device.type)
    patched = copy.deepcopy(stock)
    assert len(hf.patch_fnet(patched).changed) == 2
    expected = results(stock, input_ids=tokens)
    agree(results(patched, input_ids=tokens), expected, 1e-4)
    for model in (stock, patched):
        model(tokens).last_hidden_state.sin().sum().backward()
    for mine, truth in zip(patched.parameters(), stock.parameters(), strict=True):
        if truth.grad is not None:  # not the pooler's
            assert relative_error(mine.grad, truth.grad) < 1e-3
    agree(results(patched.bfloat16(), input_ids=tokens), expected, 0.1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast(dtype: torch.dtype) -> None:
    args = [t.requires_grad_() for t in inputs(2, 16, 64)]
    with torch.autocast(device.type, dtype):
        assert fk.fused_fourier_mix(*args).dtype == torch.float32
        y = fk.fused_fourier_mix(args[0].to(dtype), *args[1:])
    assert y.dtype == torch.float32, "that of the formula"
    mine = torch.autograd.grad(y.float().sin().sum(), args)
    expected = torch.autograd.grad(reference.fused_fourier_mix(*args).sin().sum(), args)
    for a, b in zip(mine, expected, strict=True):
        assert a.dtype == torch.float32
        assert relative_error(a, b) < 2e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_float32_parameters_with_16_bit_x(dtype: torch.dtype) -> None:
    x, weight, bias = inputs(2, 16, 64)
    x = x.to(dtype)
    y = fk.fused_fourier_mix(x, weight, bias)
    assert y.dtype == dtype
    truth = fk.fused_fourier_mix(x.float(), weight, bias).to(dtype)
    assert relative_error(y, truth) < 1e-2
    args = [t.requires_grad_() for t in (x, weight, bias)]
    mine = torch.autograd.grad(fk.fused_fourier_mix(*args).float().sin().sum(), args)
    theirs = torch.autograd.grad(reference.fused_fourier_mix(*args).float().sin().sum(), args)
    for arg, a, b in zip(args, mine, theirs, strict=True):
        assert a.dtype == arg.dtype
        assert relative_error(a, b) < 2e-2


def test_module_and_encoder_move_to_the_device() -> None:
    layer = fk.FNetEncoderLayer(64, 128, dropout=0.0).to(device.type)
    x = randn(2, 16, 64)
    layer(x).sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.device.type == device.type
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_our_kernels_run(shape: tuple[int, ...]) -> None:
    args = (*inputs(*shape), randn(*shape))
    names = device.kernels(lambda: step(*args), 1)
    assert any("fnet" in name for name in names), names


def test_a_tensor_on_another_device_is_rejected() -> None:
    x = randn(2, 16, 64)
    with pytest.raises((TypeError, ValueError), match="weight"):
        fk.fused_fourier_mix(x, torch.ones(64, device="meta"))


def test_the_contestants_of_the_benchmark_run() -> None:
    """Their results are correct, and ours takes the path in its name."""
    field = [c for c in CONTESTANTS if device.type in c.devices and "compiled" not in c.name]
    problem = Problem.random((2, 512, 64), torch.bfloat16, device.type)
    needed = {best_of_ours(device.type), "fftn", "fold", "copy", "self-attention"}
    if not REHEARSAL:
        needed |= {"ours, cuFFT path", "self-attention, flash", "self-attention, memory-efficient"}
    try:
        entries, absent = ready(field, problem)
        paths = {}
        for name, (contestant, _) in entries.items():
            prepared(contestant, None)()
            paths[name] = fk.explain(problem.x).path
        times = time_all(entries, problem.forward, 0, minimum=1, device=device.type, absent=absent)
    finally:
        pin()
    assert needed <= times.keys(), absent
    assert REHEARSAL or paths["ours cuda"] == "kernels"
    assert REHEARSAL or paths["ours, cuFFT path"] == "general"
