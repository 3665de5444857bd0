"""Derivatives that people take: transforms of torch.func, forward mode, compiled, nested, exported.

Each is compared with the same derivative of the formula in torch.fft. A result of zeros, which is
how a lost tangent shows, fails every comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, func
from torch.autograd import forward_ad

import fnet_kernels
from fnet_kernels import reference
from python_tests.helpers.close import assert_close

OPS = torch.ops.fnet_kernels


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


X, V = numbers(2, 4, 6), numbers(2, 4, 6, seed=1)
W, B = numbers(6, seed=2), numbers(6, seed=3)

Function = Callable[[Tensor], Tensor]


def formula(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """The fused operator, composed: second forward derivatives of torch's layer_norm are wrong."""
    u = x + reference.fourier_mix(x)
    centred = u - u.mean(-1, keepdim=True)
    y = centred * (centred.square().mean(-1, keepdim=True) + 1e-3).rsqrt()
    return y if weight is None or bias is None else y * weight + bias


#: (ours, the formula).
PAIRS: dict[str, tuple[Function, Function]] = {
    "mix": (fnet_kernels.fourier_mix, reference.fourier_mix),
    "fused": (
        lambda x: fnet_kernels.fused_fourier_mix(x, W, B, 1e-3),
        lambda x: formula(x, W, B),
    ),
    "fused without affine": (
        lambda x: fnet_kernels.fused_fourier_mix(x, eps=1e-3),
        formula,
    ),
    "raw mix": (lambda x: OPS.fourier_mix(x, 1.0, False), reference.fourier_mix),
    "hartley": (fnet_kernels.hartley_mix, reference.hartley_mix),
    "raw hartley": (lambda x: OPS.hartley_mix(x, 1.0), reference.hartley_mix),
    "raw fused": (
        lambda x: OPS.fused_fourier_mix(x, W, B, 1e-3, 1.0),
        lambda x: formula(x, W, B),
    ),
    "raw train": (
        lambda x: OPS.fused_fourier_mix_train(x, W, B, 1e-3, 1.0)[0],
        lambda x: formula(x, W, B),
    ),
}


def cubed(f: Function) -> Function:
    """A scalar whose derivatives do not vanish."""
    return lambda x: (f(x) * V).pow(3).sum()


def dual_tangent(f: Function) -> Tensor:
    with forward_ad.dual_level():
        tangent: Tensor = forward_ad.unpack_dual(f(forward_ad.make_dual(X, V))).tangent
    assert tangent is not None
    return tangent


#: What is computed of a function of x.
DERIVATIVES: dict[str, Callable[[Function], Tensor]] = {
    "jvp": lambda f: func.jvp(f, (X,), (V,))[1],
    "vjp": lambda f: func.vjp(f, X)[1](V)[0],
    "grad": lambda f: func.grad(cubed(f))(X),
    "vmap(grad)": lambda f: func.vmap(func.grad(lambda x: f(x).pow(3).sum()))(X),
    "jacrev": lambda f: func.jacrev(f)(X[0]),
    "jacfwd": lambda f: func.jacfwd(f)(X[0]),
    "dual": dual_tangent,
    "jacfwd(grad)": lambda f: func.jacfwd(func.grad(lambda x: f(x).pow(3).sum()))(X[0]),
    "jacrev(grad)": lambda f: func.jacrev(func.grad(lambda x: f(x).pow(3).sum()))(X[0]),
    "grad(grad)": lambda f: func.grad(lambda x: func.grad(cubed(f))(x).pow(2).sum())(X),
    "jvp(jvp)": lambda f: func.jvp(
        lambda x: func.jvp(lambda z: f(z).pow(3), (x,), (V,))[1], (X,), (V,)
    )[1],
    "jacfwd(jacfwd)": lambda f: func.jacfwd(func.jacfwd(lambda x: f(x).pow(3)))(X[0]),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_eager(derivative: str, pair: str) -> None:
    ours, right = PAIRS[pair]
    compute = DERIVATIVES[derivative]
    assert_close(compute(ours), compute(right), factor=1000)


COMPILED = ("jvp", "grad", "vmap(grad)", "jacrev", "jacfwd(grad)", "dual")


@pytest.mark.parametrize("pair", ["mix", "hartley", "fused", "raw fused"])
@pytest.mark.parametrize("derivative", COMPILED)
def test_inside_a_compiled_function(derivative: str, pair: str) -> None:
    ours, right = PAIRS[pair]
    compute = DERIVATIVES[derivative]
    torch._dynamo.reset()
    fullgraph = derivative != "dual"  # torch cannot trace dual levels in one graph
    compiled = torch.compile(lambda: compute(ours), backend="aot_eager", fullgraph=fullgraph)
    assert_close(compiled(), compute(right), factor=1000)


@pytest.mark.parametrize("pair", ["mix", "fused"])
def test_tangents_pass_through_a_compiled_function(pair: str) -> None:
    ours, right = PAIRS[pair]
    torch._dynamo.reset()
    compiled = torch.compile(ours, backend="aot_eager")
    assert_close(dual_tangent(compiled), dual_tangent(right), factor=1000)


@pytest.mark.parametrize("pair", ["mix", "fused"])
def test_jvp_of_an_exported_program(pair: str) -> None:
    class Module(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return PAIRS[pair][0](x)

    exported: Any = torch.export.export(Module(), (X,)).module()
    jvp = DERIVATIVES["jvp"]
    assert_close(jvp(exported), jvp(PAIRS[pair][1]), factor=1000)


def test_the_raw_backward_operator_is_differentiable() -> None:
    inputs = [numbers(2, 4, 6, seed=4), numbers(2, 4, 6, seed=5), numbers(2, 4, seed=6).exp(), W]
    for tensor in inputs:
        tensor.requires_grad_()

    def backward(grad: Tensor, rows: Tensor, rstd: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        return tuple(OPS.fused_fourier_mix_backward(grad, rows, rstd, weight, 1.0, True, True))

    assert torch.autograd.gradcheck(backward, inputs)
    W.requires_grad_(False)


def test_rstd_of_no_elements_is_that_of_layer_norm() -> None:
    empty = torch.zeros(2, 3, 0)
    _, _, ours = OPS.fused_fourier_mix_train(empty, None, None, 1e-5, 1.0)
    assert ours.shape == (2, 3)
    assert ours.isnan().all()


@pytest.mark.parametrize("affine", [False, True])
def test_what_follows_may_overwrite_the_result(affine: bool) -> None:
    mixing = fnet_kernels.FusedFourierMix(6, eps=1e-3, elementwise_affine=affine).double()
    results = []
    for inplace in (False, True):
        x = X.clone().requires_grad_()
        (torch.nn.functional.relu(mixing(x), inplace=inplace) * V).sum().backward()
        results.append(x.grad)
    assert results[0] is not None
    assert results[0].any()
    assert torch.equal(results[0], results[1])  # type: ignore[arg-type]
