"""A plain eager call skips the dispatcher's Python kernel; a call that is watched does not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import fnet_kernels as fk
from fnet_kernels import reference
from fnet_kernels._ops import autograd, derivatives
from python_tests.helpers.close import assert_close

OPS = torch.ops.fnet_kernels
X = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
W, B = X[0, 0].clone(), X[0, 1].clone()
V = X.flip(0)

Function = Callable[[Tensor], Tensor]

#: Ours and the definition.
PAIRS: dict[str, tuple[Function, Function]] = {
    "mix": (fk.fourier_mix, reference.fourier_mix),
    "hartley": (fk.hartley_mix, reference.hartley_mix),
    "fused": (
        lambda x: fk.fused_fourier_mix(x, W, B, 1e-3),
        lambda x: reference.fused_fourier_mix(x, W, B, 1e-3),
    ),
}
EVERY_PAIR = pytest.mark.parametrize("pair", PAIRS)


@pytest.fixture
def through_the_kernel(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The operators that the kernel for the key Autograd has called."""
    called: list[Any] = []
    below = derivatives._below

    def record(keyset: Any, op: Any, *args: Any) -> Any:
        called.append(op)
        return below(keyset, op, *args)

    monkeypatch.setattr(derivatives, "_below", record)
    return called


def gradient(f: Function, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad((f(x) * V).sum(), x)[0]


@EVERY_PAIR
def test_plain_calls_skip_the_kernel(pair: str, through_the_kernel: list[Any]) -> None:
    ours, right = PAIRS[pair]
    assert_close(ours(X), right(X), factor=10)
    assert_close(gradient(ours, X), gradient(right, X), factor=100)
    assert through_the_kernel == []
    with torch.no_grad():
        assert not ours(X.clone().requires_grad_()).requires_grad
    assert through_the_kernel == []
    getattr(OPS, "fourier_mix" if pair == "mix" else "hartley_mix")(X)
    assert len(through_the_kernel) == 1, "the fixture records nothing"


def test_a_module_with_parameters_skips_the_kernel(through_the_kernel: list[Any]) -> None:
    module = fk.FusedFourierMix(6).double()
    module(X.clone().requires_grad_()).sum().backward()
    assert module.weight is not None
    assert module.weight.grad is not None
    assert through_the_kernel == []


@EVERY_PAIR
def test_second_derivatives_pass_the_kernel(pair: str, through_the_kernel: list[Any]) -> None:
    def second(f: Function) -> Tensor:
        x = X.clone().requires_grad_()
        (first,) = torch.autograd.grad((f(x).pow(3) * V).sum(), x, create_graph=True)
        return torch.autograd.grad(first.pow(2).sum(), x)[0]

    ours, right = PAIRS[pair]
    assert_close(second(ours), second(right), factor=1000)


class Doubling(Tensor):
    """A subclass that torch functions and operators see."""


class Watching(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class WatchingFunctions(TorchFunctionMode):
    """Records the operators of this library that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "namespace", "") == "fnet_kernels":
            self.seen.append(func._opname)
        return func(*args, **(kwargs or {}))


#: What sees a call, or has to: how the gradient is taken while it does.
MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "dispatch mode": Watching,
    "function mode": WatchingFunctions,
    "dual level": forward_ad.dual_level,
}
WATCHERS: dict[str, Callable[[Function], Tensor]] = {
    **{
        name: lambda f, mode=mode: _within(mode, f)  # type: ignore[misc]
        for name, mode in MODES.items()
    },
    "subclass": lambda f: gradient(f, X.as_subclass(Doubling)).as_subclass(Tensor),
    "torch.func.grad": lambda f: torch.func.grad(lambda x: (f(x) * V).sum())(X),
    "make_fx": lambda f: make_fx(lambda x: gradient(f, x))(X)(X),
    "make_fx before autograd": lambda f: gradient(make_fx(lambda x: f(x), pre_dispatch=True)(X), X),
}


def _within(mode: Callable[[], AbstractContextManager[Any]], f: Function) -> Tensor:
    with mode():
        return gradient(f, X)


@EVERY_PAIR
@pytest.mark.parametrize("watcher", WATCHERS)
def test_watched_calls_pass_the_kernel(
    watcher: str, pair: str, through_the_kernel: list[Any]
) -> None:
    ours, right = PAIRS[pair]
    assert_close(WATCHERS[watcher](ours), gradient(right, X), factor=100)
    assert through_the_kernel


def test_a_function_mode_sees_the_operator_that_was_called() -> None:
    x = X.clone().requires_grad_()
    with WatchingFunctions() as mode:
        fk.fused_fourier_mix(x, W, B)
        fk.fourier_mix(x)
    assert mode.seen == ["fused_fourier_mix", "fourier_mix"]


@pytest.mark.parametrize("pre_dispatch", [False, True])
def test_a_graph_keeps_the_operator_of_inference(pre_dispatch: bool) -> None:
    graph = make_fx(PAIRS["fused"][0], pre_dispatch=pre_dispatch)(X.clone().requires_grad_())
    names = {node.target for node in graph.graph.nodes if "fnet" in str(node.target)}
    train, inference = OPS.fused_fourier_mix_train.default, OPS.fused_fourier_mix.default
    assert names == {inference if pre_dispatch else train}


def test_tangents_of_an_unknown_level_are_kept() -> None:
    """A compiled graph enters a level of forward mode that `forward_ad` does not know of."""
    x = X.clone().requires_grad_()
    level = torch._C._enter_dual_level()
    try:
        dual = torch._VF._make_dual(x, V, level=level)
        y = fk.fused_fourier_mix(dual, W, B, 1e-3)
        tangent = torch._VF._unpack_dual(y, level=level)[1]
    finally:
        torch._C._exit_dual_level(level=level)
    expected = torch.func.jvp(PAIRS["fused"][1], (X,), (V,))[1]
    assert_close(tangent, expected, factor=100)


def test_hooks_on_saved_tensors_run_once() -> None:
    packed: list[Tensor] = []

    def refuse(t: Tensor) -> Tensor:
        packed.append(t)
        raise RuntimeError("a hook's own error")

    with (
        torch.autograd.graph.saved_tensors_hooks(refuse, lambda t: t),
        pytest.raises(RuntimeError, match="a hook's own error"),
    ):
        fk.fused_fourier_mix(X.clone().requires_grad_(), W, B)
    assert len(packed) == 1


BAD = [
    (torch.ones(5, dtype=torch.float64), ValueError, r"weight must have shape \(6,\)"),
    (torch.ones(1, 6, dtype=torch.float64), ValueError, r"weight must have shape \(6,\)"),
    (torch.ones(6), TypeError, "weight must have the dtype of x"),
    (torch.ones(6, dtype=torch.float64).to_sparse(), TypeError, "weight must be a dense"),
    (torch.ones(6, dtype=torch.float64, device="meta"), ValueError, "weight must be on the device"),
]


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("context", [nullcontext, Watching], ids=["plain", "watched"])
@pytest.mark.parametrize(("weight", "error", "words"), BAD, ids=str)
def test_a_wrong_weight_is_named_in_every_route(
    weight: Tensor, error: type[Exception], words: str, context: Any, requires_grad: bool
) -> None:
    x = X.clone().requires_grad_(requires_grad)
    with context(), pytest.raises(error, match=words):
        fk.fused_fourier_mix(x, weight)


def test_a_refused_call_has_one_error() -> None:
    with pytest.raises(ValueError, match="weight must have shape") as error:
        fk.fused_fourier_mix(X, W[:3])
    assert error.value.__context__ is None


@EVERY_PAIR
def test_nothing_is_recorded_where_autograd_is_excluded(pair: str) -> None:
    """In inference mode whatever the grad mode, and below autograd, as torch's operators."""
    ours, formula = PAIRS[pair]
    x = X.clone().requires_grad_()
    with torch.inference_mode(), torch.enable_grad():
        y, expected = ours(x), formula(x)
        assert (y.requires_grad, y.is_inference()) == (False, True)
        assert (expected.requires_grad, expected.is_inference()) == (False, True)
    assert ours(x).requires_grad

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(
            self, op: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if op is torch.ops.aten.sin.default:
                seen.append((ours(args[0]).requires_grad, formula(args[0]).requires_grad))
            return op(*args, **(kwargs or {}))

    seen: list[tuple[bool, bool]] = []
    with Mode():
        x.sin()
    assert seen == [(False, False)]


def test_anomaly_mode_names_the_forward_call() -> None:
    x = X.clone().requires_grad_()
    with (
        pytest.warns(UserWarning, match="Traceback of forward call"),
        torch.autograd.detect_anomaly(check_nan=True),
        pytest.raises(RuntimeError, match="returned nan"),
    ):
        fk.fused_fourier_mix(x, W, B).backward(torch.full_like(X, float("nan")))


def test_hooks_and_a_retained_graph() -> None:
    module = fk.FusedFourierMix(6).double()
    seen: list[str] = []
    module.register_forward_hook(lambda *_: seen.append("forward"))
    module.register_full_backward_hook(lambda *_: seen.append("backward"))
    x = X.clone().requires_grad_()
    x.register_hook(lambda grad: seen.append("x"))
    y = module(x)
    y.register_hook(lambda grad: 2 * grad)
    first = torch.autograd.grad(y, x, V, retain_graph=True)[0]
    second = torch.autograd.grad(y, x, V)[0]
    assert torch.equal(first, second)
    assert seen == ["forward", "backward", "x", "backward", "x"]
    assert_close(first, 2 * gradient(lambda x: fk.fused_fourier_mix(x), X), factor=10)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x, V)


def test_the_plain_route_is_the_operators_own() -> None:
    """The same bits, by both routes."""
    leaves = [t.clone().requires_grad_() for t in (X, W, B)]
    routes = (autograd.fused_fourier_mix_plain, OPS.fused_fourier_mix.default)
    results = []
    for route in routes:
        y = route(*leaves, 1e-3, 0.5)
        results.append([y, *torch.autograd.grad(y, leaves, V)])
    for plain, registered in zip(*results, strict=True):
        assert torch.equal(plain, registered)
    assert nn.functional.mse_loss(results[0][0], X) > 0


def test_a_default_device_does_not_slow_a_call() -> None:
    class Mode(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
            return function(*args, **(kwargs or {}))

    with Mode():
        assert not derivatives.is_eager()
    torch.set_default_device("cpu")
    try:
        assert derivatives.is_eager()
        with Mode():
            assert not derivatives.is_eager()
    finally:
        torch.set_default_device(None)
    assert derivatives.is_eager()
