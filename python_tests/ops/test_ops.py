"""The public functions: results, layouts, errors, and composition with torch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.library import opcheck

import fnet_kernels as fk
from fnet_kernels import reference
from fnet_kernels._ops.composed import DECOMPOSITIONS
from python_tests.helpers.close import assert_close
from python_tests.helpers.refused import assert_refused

OPS = torch.ops.fnet_kernels
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
SHAPES = [
    (16, 24),  # no leading axis
    (3, 16, 24),
    (2, 1, 3, 9, 15),  # many leading axes, odd lengths
    (4, 1, 24),  # one token
    (4, 16, 1),  # one channel: rows of one element normalise to zero
    (2, 37, 24),  # a prime length
]


def inputs(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    hidden = shape[-1]
    return tuple(torch.randn(size).to(dtype) for size in (shape, (hidden,), (hidden,)))  # type: ignore[return-value]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(*shape, dtype=dtype)
    before = x.clone()
    y = fk.fourier_mix(x, scale=0.5)
    assert y.dtype == dtype
    assert y.is_contiguous()
    assert_close(y, reference.fourier_mix(x.double(), scale=0.5))

    z = fk.fused_fourier_mix(x, weight, bias, 1e-5, scale=0.5)
    assert z.dtype == dtype
    assert z.is_contiguous()
    wide = (x.double(), weight.double(), bias.double())
    assert_close(z, reference.fused_fourier_mix(*wide, 1e-5, scale=0.5), factor=2)
    assert torch.equal(x, before)


@pytest.mark.usefixtures("general_path")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_general_path_agrees(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    assert fk.explain(shape, dtype=dtype).path == "general"
    test_agrees_with_the_reference(shape, dtype)


@pytest.mark.parametrize("affine", [(0, 0), (1, 0), (0, 1)], ids=["plain", "weight", "bias"])
def test_weight_and_bias_are_each_optional(affine: tuple[int, int]) -> None:
    x, *vectors = inputs(2, 8, 12, dtype=torch.float64)
    weight, bias = (v if wanted else None for v, wanted in zip(vectors, affine, strict=True))
    assert_close(
        fk.fused_fourier_mix(x, weight, bias), reference.fused_fourier_mix(x, weight, bias), 10
    )


def layouts() -> dict[str, Tensor]:
    base = torch.randn(6, 40, 50)
    return {
        "transposed": base.transpose(1, 2),
        "leading axes swapped": base.reshape(2, 3, 40, 50).transpose(0, 1),
        "sliced rows": base[:, ::2],
        "sliced columns": base[..., 1::3],
        "offset": base[1:, 3:, 7:],
        "expanded batch": base[:1].expand(4, 40, 50),
        "expanded rows": base[:, :1].expand(6, 8, 50),
        "expanded columns": base[..., :1].expand(6, 40, 8),
    }


@pytest.mark.parametrize("name", layouts())
def test_any_strides(name: str) -> None:
    x = layouts()[name]
    assert_close(fk.fourier_mix(x), reference.fourier_mix(x.double()))
    hidden = x.shape[-1]
    weight = torch.randn(2 * hidden)[::2]
    expected = reference.fused_fourier_mix(x.double(), weight.double(), eps=1e-3)
    assert_close(fk.fused_fourier_mix(x, weight, eps=1e-3), expected, factor=4)


@pytest.mark.parametrize("shape", [(0, 3, 4), (0, 1, 65537), (2, 0, 4), (2, 3, 0), (0, 0)], ids=str)
def test_empty_inputs_have_empty_results(shape: tuple[int, ...]) -> None:
    x = torch.empty(shape, requires_grad=True)
    weight = torch.ones(shape[-1], requires_grad=True)
    assert fk.fourier_mix(x).shape == shape
    y = fk.fused_fourier_mix(x, weight)
    assert y.shape == shape
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == shape
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.zeros(shape[-1]))


X, W = torch.ones(2, 3, 4), torch.ones(4)
ERRORS: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: fk.fourier_mix([1.0]), TypeError, ["fourier_mix: x", "torch.Tensor", "list"]),
    (lambda: fk.fourier_mix(X.int()), TypeError, ["x", "torch.float32", "got torch.int32"]),
    (lambda: fk.fourier_mix(X.cfloat()), TypeError, ["x", "got torch.complex64"]),
    (lambda: fk.fourier_mix(W), ValueError, ["x", "[..., seq, hidden]", "got shape (4,)"]),
    (lambda: fk.fourier_mix(X, scale=W), TypeError, ["scale", "number", "got Tensor"]),
    (lambda: fk.fourier_mix(X, scale=True), TypeError, ["scale", "number", "got bool"]),
    (lambda: fk.fourier_mix(X.to_sparse()), TypeError, ["x", "strided", "got torch.sparse_coo"]),
    (lambda: fk.FusedFourierMix(4, eps=-1.0), ValueError, ["FusedFourierMix: eps", "got -1.0"]),
    (lambda: fk.FourierMix(scale="1"), TypeError, ["FourierMix: scale", "got str"]),
    (lambda: fk.fused_fourier_mix(None), TypeError, ["fused_fourier_mix: x", "got None"]),
    (lambda: fk.fused_fourier_mix(X.bool()), TypeError, ["x", "got torch.bool"]),
    (lambda: fk.fused_fourier_mix(W), ValueError, ["fused_fourier_mix: x", "got shape (4,)"]),
    (
        lambda: fk.fused_fourier_mix(X, W[:3]),
        ValueError,
        ["weight", "shape (4,)", "x with shape (2, 3, 4)", "got shape (3,)"],
    ),
    (lambda: fk.fused_fourier_mix(X, W, X[0]), ValueError, ["bias", "(4,)", "got shape (3, 4)"]),
    (
        lambda: fk.fused_fourier_mix(X, W.double()),
        TypeError,
        ["weight", "torch.float32", "got torch.float64"],
    ),
    (
        lambda: fk.fused_fourier_mix(X.half(), bias=W.bfloat16()),
        TypeError,
        ["bias", "dtype of x, torch.float16 or torch.float32; got torch.bfloat16"],
    ),
    (
        lambda: fk.fused_fourier_mix(X.double(), W),
        TypeError,
        ["weight", "dtype of x, torch.float64; got torch.float32"],
    ),
    (
        lambda: fk.fused_fourier_mix(X, W.to("meta")),
        ValueError,
        ["weight", "device of x, cpu", "got meta"],
    ),
    (lambda: fk.fused_fourier_mix(X, 1.0), TypeError, ["weight", "Tensor or None", "got float"]),
    (lambda: fk.fused_fourier_mix(X, eps=-1e-5), ValueError, ["eps", "not negative", "-1e-05"]),
    (lambda: fk.fused_fourier_mix(X, eps=float("nan")), ValueError, ["eps", "got nan"]),
    (lambda: fk.fused_fourier_mix(X, eps=float("inf")), ValueError, ["eps", "got inf"]),
    (lambda: fk.fused_fourier_mix(X, eps=None), TypeError, ["eps", "number", "got None"]),
    (lambda: fk.fused_fourier_mix(X, scale="1"), TypeError, ["scale", "number", "got str"]),
]


@pytest.mark.parametrize(("call", "error", "words"), ERRORS)
def test_errors_name_expected_and_actual_values(
    call: Any, error: type[Exception], words: list[str]
) -> None:
    assert_refused(call, error, words)


def test_the_operators_check_their_arguments() -> None:
    with pytest.raises(RuntimeError, match=r"weight of shape \[4\], got Float \[3\]$"):
        OPS.fused_fourier_mix(X, W[:3], None, 1e-5, 1.0)
    with pytest.raises(RuntimeError, match="bias of the dtype of x, Float, got Double"):
        OPS.fused_fourier_mix(X, None, W.double(), 1e-5, 1.0)
    with pytest.raises(RuntimeError, match="bias of the dtype of weight, Float, got Half"):
        OPS.fused_fourier_mix(X.half(), W, W.half(), 1e-5, 1.0)
    with pytest.raises(RuntimeError, match="bias of the dtype of x, Half, got Float"):
        OPS.fused_fourier_mix(X.half(), None, W, 1e-5, 1.0)
    rows = torch.ones(X.shape[:-1])
    with pytest.raises(RuntimeError, match=r"expected grad of dtype float32, .*, got Int"):
        OPS.fused_fourier_mix_backward(X.int(), X.int(), rows, None, 1.0, True, True)
    with pytest.raises(RuntimeError, match="weight of the dtype of grad, Float, got Double"):
        OPS.fused_fourier_mix_backward(X, X, rows, W.double(), 1.0, True, True)
    for eps in (-1.0, math.inf, math.nan):
        message = f"eps that is finite and not negative, got {eps:g}"
        with pytest.raises(RuntimeError, match=message):
            OPS.fused_fourier_mix(X, None, None, eps, 1.0)


def test_a_device_without_kernels_is_named() -> None:
    with FakeTensorMode():
        x = torch.empty(2, 3, 4, device="xpu")
        with pytest.raises(ValueError, match=r"x must be on a device .*\(cpu.*\); got xpu:0"):
            fk.fused_fourier_mix(x)


def test_meta_tensors_give_shapes() -> None:
    x = torch.empty(2, 3, 4, device="meta", dtype=torch.bfloat16)
    for y in (fk.fourier_mix(x), fk.fused_fourier_mix(x)):
        assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_opcheck(affine: bool, requires_grad: bool) -> None:
    x, weight, bias = (
        t.requires_grad_(requires_grad) for t in inputs(2, 6, 10, dtype=torch.float64)
    )
    vectors = (weight, bias) if affine else (None, None)
    opcheck(OPS.fourier_mix.default, (x, 0.5, True))
    opcheck(OPS.fused_fourier_mix.default, (x, *vectors, 1e-5, 0.5))
    opcheck(OPS.fused_fourier_mix_train.default, (x, *vectors, 1e-5, 0.5))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fake_results_have_the_dtypes_of_real_ones(dtype: torch.dtype) -> None:
    x, weight, bias = inputs(2, 6, 10, dtype=dtype)
    for op in (OPS.fused_fourier_mix.default, OPS.fused_fourier_mix_train.default):
        opcheck(op, (x, weight, bias, 1e-5, 0.5), test_utils="test_faketensor")
    _, rows, rstd = OPS.fused_fourier_mix_train(x, weight, bias, 1e-5, 0.5)
    args = (x, rows, rstd, weight, 0.5, True, True)
    opcheck(OPS.fused_fourier_mix_backward.default, args, test_utils="test_faketensor")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_fake_results_with_float32_parameters(dtype: torch.dtype) -> None:
    x, weight, bias = inputs(2, 6, 10)
    x = x.to(dtype)
    for op in (OPS.fused_fourier_mix.default, OPS.fused_fourier_mix_train.default):
        opcheck(op, (x, weight, bias, 1e-5, 0.5), test_utils="test_faketensor")
    _, rows, rstd = OPS.fused_fourier_mix_train(x, weight, bias, 1e-5, 0.5)
    args = (x, rows, rstd, weight, 0.5, True, True)
    opcheck(OPS.fused_fourier_mix_backward.default, args, test_utils="test_faketensor")
    assert [t.dtype for t in OPS.fused_fourier_mix_backward(*args)] == [
        dtype,
        torch.float32,
        torch.float32,
    ]


@pytest.mark.parametrize("need_weight", [False, True])
def test_opcheck_backward(need_weight: bool) -> None:
    x, weight, bias = inputs(2, 6, 10, dtype=torch.float64)
    _, rows, rstd = OPS.fused_fourier_mix_train(x, weight, bias, 1e-5, 0.5)
    args = (torch.randn_like(x), rows, rstd, weight, 0.5, need_weight, not need_weight)
    opcheck(OPS.fused_fourier_mix_backward.default, args)


def both(x: Tensor, weight: Tensor, bias: Tensor, ops: Any = fk) -> Tensor:
    return ops.fused_fourier_mix(ops.fourier_mix(x, scale=0.1), weight, bias)


def test_compile_takes_every_length_without_recompiling() -> None:
    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(both, fullgraph=True, dynamic=True, backend=counter)
    frames = []
    for batch, seq in ((2, 7), (3, 16), (4, 37), (2, 25)):
        x, weight, bias = inputs(batch, seq, 12, dtype=torch.float64)
        assert_close(compiled(x, weight, bias), both(x, weight, bias, reference), factor=10)
        frames.append(counter.frame_count)
    assert len(set(frames)) == 1  # later calls reuse the first graph


@pytest.mark.parametrize("dynamic", [None, False])
def test_compile_by_inductor(dynamic: bool | None) -> None:
    torch.compiler.reset()
    compiled = torch.compile(both, fullgraph=True, dynamic=dynamic)
    args = inputs(2, 8, 12)
    assert_close(compiled(*args), both(*args, reference), factor=10)


def test_inductor_calls_each_operator_as_it_is() -> None:
    """Else it would refuse them where the environment variable CI is set (tests of users)."""
    from torch._inductor.lowering import lowerings

    assert len(DECOMPOSITIONS) > 10
    assert not [op for op in DECOMPOSITIONS if op not in lowerings]


def test_export_with_a_dynamic_length() -> None:
    mix = fk.FusedFourierMix(12)
    seq = torch.export.Dim("seq")
    exported = torch.export.export(mix, (torch.randn(2, 8, 12),), dynamic_shapes=({1: seq},))
    x = torch.randn(2, 11, 12)
    assert torch.equal(exported.module()(x), mix(x))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_autocast_runs_in_float32(dtype: torch.dtype, compiled: bool) -> None:
    torch.compiler.reset()
    run = torch.compile(both, fullgraph=True, backend="aot_eager") if compiled else both
    x, weight, bias = inputs(2, 8, 12)
    with torch.autocast("cpu", torch.bfloat16):
        y = run(x.to(dtype), weight, bias)
    wide = torch.promote_types(dtype, torch.float32)
    assert y.dtype == wide
    assert torch.equal(y, both(x.to(dtype).to(wide), weight.to(wide), bias.to(wide)))


def test_autocast_hides_no_error() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        for bad in (1.0, W.int(), W.cfloat()):
            with pytest.raises(TypeError, match="weight must"):
                fk.fused_fourier_mix(X, bad)  # type: ignore[arg-type]


def test_inference_mode() -> None:
    x, weight, bias = inputs(2, 8, 12)
    with torch.inference_mode():
        y = fk.fused_fourier_mix(x, weight.requires_grad_(), bias)
    assert y.is_inference()
    assert torch.equal(y, fk.fused_fourier_mix(x, weight.detach(), bias))


VMAPS = [
    ((0, None, None), (3, 2, 5, 8), (8,)),
    ((2, None, None), (2, 5, 3, 8), (8,)),
    ((0, 0, None), (3, 5, 8), (3, 8)),
    ((None, 1, None), (5, 8), (8, 3)),
]


@pytest.mark.parametrize(("in_dims", "x_shape", "weight_shape"), VMAPS, ids=str)
def test_vmap(in_dims: Any, x_shape: Any, weight_shape: Any) -> None:
    x, weight, bias = (
        torch.randn(shape, dtype=torch.float64) for shape in (x_shape, weight_shape, (8,))
    )
    ours = torch.vmap(fk.fused_fourier_mix, in_dims)(x, weight, bias)
    assert_close(ours, torch.vmap(reference.fused_fourier_mix, in_dims)(x, weight, bias), 10)
    if in_dims[0] is not None:
        expected = torch.vmap(reference.fourier_mix, in_dims[0])(x)
        assert_close(torch.vmap(fk.fourier_mix, in_dims[0])(x), expected)
        # The operators also have the rule, for vmap within other transforms.
        op = torch.vmap(lambda x: OPS.fused_fourier_mix(x, None, None, 1e-5, 1.0), in_dims[0])
        expected = torch.vmap(lambda x: reference.fused_fourier_mix(x, eps=1e-5), in_dims[0])(x)
        assert_close(op(x), expected, 10)


def test_vmap_over_an_empty_axis() -> None:
    x, weight = torch.randn(0, 5, 8), torch.randn(0, 8)
    assert torch.vmap(fk.fused_fourier_mix, (0, 0))(x, weight).shape == (0, 5, 8)
    for t in torch.vmap(lambda x, w: OPS.fused_fourier_mix_train(x, w, None, 1e-3, 1.0))(x, weight):
        assert t.shape[0] == 0


@pytest.mark.parametrize("kind", ["none", "shared", "mapped"])
def test_vmap_of_the_training_operator(kind: str) -> None:
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    weight = {"none": None, "shared": torch.randn(8), "mapped": torch.randn(3, 8)}[kind]
    weight = None if weight is None else weight.double()
    in_dims = (0, 0 if kind == "mapped" else None)
    ours = torch.vmap(lambda x, w: OPS.fused_fourier_mix_train(x, w, None, 1e-3, 1.0), in_dims)(
        x, weight
    )
    slices = weight if weight is not None and kind == "mapped" else [weight] * 3
    one_by_one = [
        OPS.fused_fourier_mix_train(x, w, None, 1e-3, 1.0) for x, w in zip(x, slices, strict=True)
    ]
    for a, *b in zip(ours, *one_by_one, strict=True):
        assert_close(a, torch.stack(b), 10)
