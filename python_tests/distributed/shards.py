"""Tensors on the ranks, and the register of the cases.

defines: BATCH, CASES, COUPLED, HEADS, HIDDEN, LEADING, SEQ, case, communicated, example, mesh,
open_sum, placed, replicated, vectors, whole
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Placement,
    Replicate,
    Shard,
    distribute_tensor,
)
from torch.distributed.tensor.debug import CommDebugMode

from python_tests.distributed.ranks import SIZE

BATCH, HEADS, SEQ, HIDDEN = 8, 4, 6, 12
CASES: dict[str, Callable[[], None]] = {}


def case(function: Callable[[], None]) -> Callable[[], None]:
    CASES[function.__name__] = function
    return function


@functools.cache
def mesh(*shape: int) -> DeviceMesh:
    return init_device_mesh("cpu", shape, mesh_dim_names=("outer", "inner")[: len(shape)])


def placed(t: Tensor, *placements: Placement) -> DTensor:
    """`t` on all ranks: in a line for one placement, in a square for two."""
    where = mesh(SIZE) if len(placements) == 1 else mesh(2, 2)
    return distribute_tensor(t.detach(), where, placements).requires_grad_(t.requires_grad)


def replicated(t: Tensor | None, like: DTensor) -> DTensor | None:
    if t is None:
        return None
    everywhere = [Replicate()] * like.device_mesh.ndim
    return distribute_tensor(t.detach(), like.device_mesh, everywhere).requires_grad_(
        t.requires_grad
    )


def example() -> Tensor:
    return torch.randn(BATCH, HEADS, SEQ, HIDDEN, requires_grad=True)


def vectors() -> list[Tensor]:
    return [torch.randn(HIDDEN, requires_grad=True) for _ in range(2)]


def whole(t: DTensor | Tensor | None) -> Tensor:
    assert isinstance(t, DTensor)
    return t.full_tensor()


def communicated(mode: CommDebugMode) -> int:
    return mode.get_total_counts()


#: Placements that split leading axes, on a line of ranks and on a square.
LEADING = [
    (Shard(0),),
    (Shard(1),),
    (Replicate(),),
    (Shard(0), Shard(1)),
    (Shard(1), Shard(0)),
    (Shard(0), Shard(0)),
    (Replicate(), Shard(1)),
]
#: Placements that split what mixing couples.
COUPLED = [(Shard(2),), (Shard(3),), (Shard(0), Shard(2)), (Shard(3), Shard(2))]


def open_sum(t: Tensor, kind: str) -> tuple[DTensor, Tensor]:
    """A different multiple of `t` on each rank, and what they make together."""
    rank = torch.distributed.get_rank()
    factors = [1.0, -2.0, 3.0, 0.5]
    together = {"sum": sum(factors), "avg": sum(factors) / SIZE, "max": None}[kind]
    local = t.detach() * factors[rank]
    truth = t * together if together is not None else torch.maximum(3 * t, -2 * t)
    return DTensor.from_local(local, mesh(SIZE), [Partial(kind)]), truth
