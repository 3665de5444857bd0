"""How the operators split over devices, for `torch.distributed.tensor.DTensor`.

Mixing couples all of [seq, hidden] and nothing else. Leading axes may be sharded: no rank needs
another's data, forward or backward. A sharded seq or hidden is first gathered, or exchanged for a
sharded leading axis. So are sequences of different lengths, because a call has the lengths of all:
to split them, call the function on each rank with its own. The transform is linear, and so is the
backward pass in the gradient: both commute with the pending sum of a `Partial`. LayerNorm does not,
so there the sum is computed first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fnet_kernels._ops.autograd import LAYER, RMS
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import TRANSFORMS, mix_varlen
from fnet_kernels._ops.on_import import after_import
from fnet_kernels._ops.varlen import VARLEN

#: What one axis of the mesh may hold: the placements of the results, then of the tensor arguments.
Choices = list[list[Any]]


def _register() -> None:
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

    # The public register_sharding caches regardless of which gradients a call needs.
    from torch.distributed.tensor._op_schema import RuntimeSchemaInfo
    from torch.distributed.tensor._ops.utils import expand_to_full_mesh_op_strategy

    register = DTensor._op_dispatcher.sharding_propagator.register_op_strategy
    replicated = Replicate()
    sums = (Partial("sum"), Partial("avg"))

    def of_leading_axes(x: Any) -> list[Any]:
        """The placements that split leading axes of x, its own included."""
        leading = range(x.ndim - 2)
        own = [
            placement
            for placement in x.strategies[0].output_spec.placements
            if getattr(placement, "dim", x.ndim) in leading
        ]
        return list(dict.fromkeys([*map(Shard, leading), *own]))

    def transform(x: Any, *_: Any, **__: Any) -> Choices:
        return [[p, p] for p in (replicated, *sums, *of_leading_axes(x))]

    def fused_fourier_mix(x: Any, weight: Any, bias: Any, *_: Any, **__: Any) -> Choices:
        vectors = [replicated] * _count(weight, bias)
        return [[p, p, *vectors] for p in (replicated, *of_leading_axes(x))]

    def fused_fourier_mix_train(x: Any, weight: Any, bias: Any, *_: Any, **__: Any) -> Choices:
        vectors = [replicated] * _count(weight, bias)
        return [[p, p, p, p, *vectors] for p in (replicated, *of_leading_axes(x))]

    def fused_fourier_mix_backward(
        grad: Any, rows: Any, rstd: Any, weight: Any, *rest: Any
    ) -> Choices:
        needed = rest[-2:]
        vectors = [replicated] * _count(weight)

        def placements(dx: Any, dvector: Any, saved: Any) -> list[Any]:
            dvectors = [dvector if need else replicated for need in needed]
            return [dx, *dvectors, dx, saved, saved, *vectors]

        return [
            *(placements(p, p, replicated) for p in (replicated, *sums)),
            *(placements(p, sums[0], p) for p in of_leading_axes(grad)),
        ]

    def whole(rule: Callable[..., Choices]) -> Callable[..., Choices]:
        """A rule without its shards."""

        def unsharded(*args: Any, **named: Any) -> Choices:
            choices = rule(*args, **named)
            return [c for c in choices if not any(isinstance(p, Shard) for p in c)]

        return unsharded

    def residual_fourier_mix(x: Any, residual: Any, *_: Any, **__: Any) -> Choices:
        return [[p, p, p] for p in (replicated, *sums, *of_leading_axes(x))]

    def prenorm_fourier_mix_backward(
        grad: Any, x: Any, mean: Any, rstd: Any, weight: Any, *constants: Any
    ) -> Choices:
        vectors = [replicated] * _count(weight)
        needed = constants[-2:]

        def placements(dx: Any, dvector: Any, saved: Any) -> list[Any]:
            dvectors = [dvector if need else replicated for need in needed]
            return [dx, *dvectors, dx, saved, saved, saved, *vectors]

        return [
            *(placements(p, p, replicated) for p in (replicated, *sums)),
            *(placements(p, sums[0], p) for p in of_leading_axes(grad)),
        ]

    def strategy(rule: Callable[..., Choices], results: int) -> Callable[[Any], Any]:
        return lambda schema: expand_to_full_mesh_op_strategy(
            schema.get_mesh_from_args(),
            schema,
            rule(*schema.args_schema, **schema.kwargs_schema),
            input_index=results,
        )

    rules: dict[Any, Callable[..., Choices]] = {
        **dict.fromkeys(TRANSFORMS, transform),
        mix_varlen: whole(transform),
        VARLEN.fused: whole(fused_fourier_mix),
        VARLEN.train: whole(fused_fourier_mix_train),
        VARLEN.backward_op: whole(fused_fourier_mix_backward),
        operators.residual_fourier_mix.default: residual_fourier_mix,
        operators.prenorm_fourier_mix.default: fused_fourier_mix_train,
        operators.prenorm_fourier_mix_backward.default: prenorm_fourier_mix_backward,
    }
    for family in (LAYER, RMS):
        rules[family.fused] = fused_fourier_mix
        rules[family.train] = fused_fourier_mix_train
        rules[family.backward_op] = fused_fourier_mix_backward
    for op, rule in rules.items():
        # Results are cached by all arguments from the second on, for example by which are None.
        register(op, strategy(rule, len(op._schema.returns)), RuntimeSchemaInfo(1))


def _count(*vectors: Any) -> int:
    return sum(vector is not None for vector in vectors)


after_import("torch.distributed.tensor", _register)
