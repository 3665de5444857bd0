"""Encoders and modules: data parallel, tensor parallel, fully sharded."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_module
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from fnet_kernels import FNetEncoder, FourierMix, FusedFourierMix
from python_tests.distributed.ranks import SIZE
from python_tests.distributed.shards import (
    BATCH,
    HIDDEN,
    SEQ,
    case,
    communicated,
    mesh,
    placed,
    whole,
)
from python_tests.helpers.close import assert_close


def encoder() -> FNetEncoder:
    torch.manual_seed(1)
    model = FNetEncoder(2, HIDDEN, 16, mixer=FourierMix(0.1), dropout=0.0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def assert_trains_alike(
    model: nn.Module, local: nn.Module, x: Any, local_x: Tensor, share: slice = slice(None)
) -> None:
    """Result and gradients, for a loss that is a sum over the batch.

    `share` is the part of `local_x` that this rank's `x` holds. FSDP takes the mean over shares.
    """
    truth = local(local_x)
    (truth * truth).sum().backward()
    result = model(x)
    (result * result).sum().mul(len(truth) / len(truth[share])).backward()
    assert_close(whole(result) if isinstance(result, DTensor) else result, truth[share], factor=20)
    for (name, parameter), expected in zip(
        model.named_parameters(), local.parameters(), strict=True
    ):
        gradient = parameter.grad
        gradient = whole(gradient) if isinstance(gradient, DTensor) else gradient
        assert gradient is not None, name
        assert_close(gradient, expected.grad, factor=100)


@case
def an_encoder_of_dtensors() -> None:
    """Data parallel without communication forward, and with the sequence sharded between."""
    x = torch.randn(BATCH, SEQ, HIDDEN)
    for placement in (Shard(0), Shard(1)):
        model = distribute_module(encoder(), mesh(SIZE))
        shards = placed(x, placement)
        if placement == Shard(0):
            with torch.no_grad(), CommDebugMode() as mode:
                model(shards)
            assert communicated(mode) == 0
        assert_trains_alike(model, encoder(), shards, x)


@case
def tensor_parallel_dense_layers() -> None:
    model = encoder()
    for layer in model:
        plan = {"intermediate.dense": ColwiseParallel(), "output.dense": RowwiseParallel()}
        parallelize_module(layer, mesh(SIZE), plan)
    x = torch.randn(BATCH, SEQ, HIDDEN)
    assert_trains_alike(model, encoder(), x, x)


def share_of(part: int, parts: int) -> slice:
    """The rows of a batch that one of several data-parallel ranks holds."""
    rows = BATCH // parts
    return slice(part * rows, (part + 1) * rows)


@case
def fully_sharded_layers() -> None:
    """FSDP2, on a line and on a square that also replicates."""
    x = torch.randn(BATCH, SEQ, HIDDEN)
    for where in (mesh(SIZE), mesh(2, 2)):
        model = encoder()
        for layer in model:
            fully_shard(layer, mesh=where)
        fully_shard(model, mesh=where)
        share = share_of(torch.distributed.get_rank(), SIZE)
        assert_trains_alike(model, encoder(), x[share], x, share)


@case
def fully_sharded_and_tensor_parallel() -> None:
    square = mesh(2, 2)
    model = encoder()
    for layer in model:
        plan = {"intermediate.dense": ColwiseParallel(), "output.dense": RowwiseParallel()}
        parallelize_module(layer, square["inner"], plan)
        fully_shard(layer, mesh=square["outer"])
    x = torch.randn(BATCH, SEQ, HIDDEN)
    share = share_of(square.get_local_rank("outer"), 2)
    assert_trains_alike(model, encoder(), x[share], x, share)


@case
def a_fully_sharded_mixing_module_saves_and_loads() -> None:
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    module = FusedFourierMix(HIDDEN)
    nn.init.normal_(module.weight)
    before = copy.deepcopy(module.state_dict())
    fully_shard(module, mesh=mesh(SIZE))
    after = get_model_state_dict(module)
    assert {name: value.shape for name, value in after.items()} == {
        name: value.shape for name, value in before.items()
    }
    assert torch.equal(whole(after["weight"]), before["weight"])
