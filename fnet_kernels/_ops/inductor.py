"""Tells Inductor to call the operators as they are.

It does so by default, but if the environment variable CI is set, it refuses to call an operator
that has a decomposition, and ours have some for exporters.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch._ops import OperatorBase

from fnet_kernels._ops.on_import import after_import


def never_decompose(operators: Iterable[OperatorBase]) -> None:
    """Make Inductor call each of `operators`, with the strides that it was traced with."""

    def register() -> None:
        from torch._inductor.lowering import constrain_to_fake_tensors, make_fallback

        for op in operators:
            make_fallback(op, constrain_to_fake_tensors, warn=False)  # type: ignore[no-untyped-call]

    after_import("torch._inductor.lowering", register)
