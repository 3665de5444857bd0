"""Differentiation of operators at the dispatcher, in both modes and under every transform.

`torch.library.register_autograd` drops tangents and refuses `torch.func`. A kernel for the dispatch
key Autograd sees both: transforms, compiled graphs and exported programs reach it as they reach
torch's own operators.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, is_grad_enabled
from torch._C import _any_requires_grad as any_requires_grad
from torch._C import _are_functorch_transforms_active as functorch_active
from torch._C import _dispatch_call_boxed as call_boxed
from torch._C import _dispatch_tls_is_dispatch_key_excluded as is_excluded
from torch._C import _get_tracing_state as tracing_state
from torch._C import _len_torch_dispatch_stack as dispatch_modes
from torch._C import _len_torch_function_stack as function_modes
from torch._C._dynamo.eval_frame import _FrameAction, _FrameExecStrategy, set_code_exec_strategy
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import Function, forward_ad
from torch.autograd.function import _SingleLevelFunction
from torch.compiler import is_compiling
from torch.nn import Parameter
from torch.utils import _device as default_device

from fnet_kernels._ops.out_of_memory import in_torchs_class

Kernel = Callable[..., Any]

_PLAIN = frozenset({Tensor, Parameter, type(None), float, int, bool, str, list})

#: Excluded in inference mode, whatever the grad mode, and below autograd, as in a dispatch mode.
_AUTOGRAD = torch._C.DispatchKey.AutogradFunctionality

#: torch.compile runs a caller with tangents eagerly and compiles what it calls. In torch 2.14 a
#: compiled function returns no tangents, so that nothing below a kernel may be compiled.
_UNCOMPILED = _FrameExecStrategy(_FrameAction.SKIP, _FrameAction.SKIP)

#: What Python kernels of the operators are registered with. They live as long as it does.
LIBRARY = torch.library.Library("fnet_kernels", "IMPL")  # type: ignore[no-untyped-call]


def unpack_dual(t: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Return the primal of `t` and its tangent or None."""
    return (None, None) if t is None else torch._VF._unpack_dual(t, level=0)


def make_dual(primal: Tensor, tangent: Tensor | None) -> Tensor:
    """Attach a tangent to `primal`; the inverse of `unpack_dual`."""
    if tangent is None:
        return primal
    dual: Tensor = torch._VF._make_dual(primal, tangent, level=0)
    return dual


class TangentsError(Exception):
    """An `autograd.Function` met an input with a tangent."""


class Reverse(_SingleLevelFunction):
    """Reverse mode of an operator, for one level of `torch.func`: each interpreter calls a kernel.

    `forward(ctx, *args, below)` takes the operator's arguments and `below`, which calls an operator
    below autograd: `below(op, *args)`. An `autograd.Function` would refuse `torch.func`.
    """

    apply: ClassVar[Kernel]
    _compiled_autograd_key = Function._compiled_autograd_key

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> NoReturn:
        raise TangentsError


class _Constant(Reverse):
    """No gradient is required: runs the operator and reports tangents."""

    @staticmethod
    def forward(ctx: Any, op: Kernel, *args: Any) -> Any:
        *rest, below = args
        return below(op, *rest)


def register(op: Any, composed: Kernel, apply: Kernel | None = None) -> Kernel:
    """Register the derivatives of an operator.

    Args:
        op: the operator.
        composed: computes the same from differentiable operators. It runs if an argument has a
            tangent, and without `apply` also if a gradient is required.
        apply: that of a `Reverse`; runs if a gradient is required.

    Returns:
        A function that takes the operator's arguments by position and does the same in less time,
        if `is_plain` holds of them: it skips the kernel for the key Autograd, whose round trip
        through the dispatcher takes 10 us.
    """

    def kernel(keyset: Any, *args: Any) -> Any:
        nested = functorch_active()
        if (nested or forward_ad._current_level >= 0) and _any_tangents(args):
            return composed(*args)
        differentiates = torch.is_grad_enabled() and torch._C._any_requires_grad(*args)
        if differentiates and apply is None:
            return composed(*args)
        reverse = apply if differentiates and apply is not None else partial(_Constant.apply, op)
        try:
            if not nested:
                below = partial(_below, keyset)
                return reverse(*args, below)
            if not differentiates:
                return _below(keyset, op, *args)
            with enable_single_level_autograd_function():
                return reverse(*args, partial(_below_nested, keyset))
        except TangentsError:
            return composed(*args)

    LIBRARY.impl(op.name(), kernel, "Autograd", with_keyset=True)  # type: ignore[no-untyped-call]
    set_code_exec_strategy(kernel.__code__, _UNCOMPILED)

    def plain(*args: Any) -> Any:
        if not (is_grad_enabled() and any_requires_grad(*args)) or is_excluded(_AUTOGRAD):
            return _skip_autograd(op, *args)
        if apply is None:
            return op(*args)
        try:
            return apply(*args, _skip_autograd)
        except TangentsError:
            return op(*args)

    return plain


def is_eager() -> bool:
    """Whether no compiler, trace, mode or transform is known to be active.

    The mode of a default device is none of these: it changes the functions that make tensors. A
    graph of `torch.compile(backend="eager")` enters a forward-mode level that Python cannot
    detect.
    """
    return not (
        is_compiling()
        or functorch_active()
        or forward_ad._current_level >= 0
        or dispatch_modes()
        or function_modes() > (default_device.CURRENT_DEVICE is not None)
        or tracing_state() is not None
    )


def is_plain(args: tuple[Any, ...]) -> bool:
    """Whether a call is eager, of plain tensors, and needs at most reverse-mode differentiation."""
    return is_eager() and _PLAIN.issuperset(map(type, args))


def shortest(op: Kernel, plain: Kernel) -> Kernel:
    """Return a function that calls `plain`, as `register` returned it, where that is the same."""
    return lambda *args: plain(*args) if is_plain(args) else op(*args)


def _skip_autograd(op: Any, *args: Any) -> Any:
    try:
        with torch._C._AutoDispatchBelowAutograd():
            return call_boxed(op._handle, *args)  # OpOverload.__call__ takes 1.3 us more
    except RuntimeError as error:
        raise in_torchs_class(error) from None


def _any_tangents(args: tuple[Any, ...]) -> bool:
    return any(isinstance(arg, Tensor) and unpack_dual(arg)[1] is not None for arg in args)


def _below(keyset: Any, op: Any, *args: Any) -> Any:
    try:
        with torch._C._AutoDispatchBelowAutograd():
            return op.redispatch(keyset & torch._C._after_autograd_keyset, *args)
    except RuntimeError as error:
        raise in_torchs_class(error) from None


def _below_nested(keyset: Any, op: Any, *args: Any) -> Any:
    # An autograd.Function disables both modes; they belong to the outer transforms too.
    with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
        return _below(keyset, op, *args)
