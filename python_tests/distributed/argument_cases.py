"""Arguments, dtypes and modes of the operators on sharded tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed.tensor import Shard
from torch.distributed.tensor.debug import CommDebugMode

from fnet_kernels import fused_fourier_mix
from python_tests.distributed.shards import (
    BATCH,
    HEADS,
    HIDDEN,
    SEQ,
    case,
    communicated,
    example,
    placed,
    replicated,
    vectors,
    whole,
)
from python_tests.helpers.close import assert_close


@case
def frozen_vectors_and_trained_ones_in_turn() -> None:
    """What DTensor remembers of one call must not leak into the next."""
    for train_weight, train_bias in ((False, False), (True, True), (False, True), (True, False)):
        x = torch.randn(BATCH, SEQ, HIDDEN, requires_grad=True)
        weight, bias = vectors()
        weight.requires_grad_(train_weight)
        bias.requires_grad_(train_bias)
        truth = fused_fourier_mix(x, weight, bias, 0.1)
        grad = torch.randn_like(truth)
        truth.backward(grad)
        shards = placed(x, Shard(0))
        placed_weight, placed_bias = replicated(weight, shards), replicated(bias, shards)
        fused_fourier_mix(shards, placed_weight, placed_bias, 0.1).backward(placed(grad, Shard(0)))
        assert_close(whole(shards.grad), x.grad, factor=4)
        for vector, placed_vector in ((weight, placed_weight), (bias, placed_bias)):
            if vector.requires_grad:
                assert_close(whole(placed_vector.grad), vector.grad, factor=4)
            else:
                assert placed_vector.grad is None


@case
def a_weight_alone_and_a_bias_alone_in_turn() -> None:
    x = torch.randn(BATCH, SEQ, HIDDEN)
    shards = placed(x, Shard(1))
    for weight, bias in ((vectors()[0], None), (None, vectors()[0])):
        result = fused_fourier_mix(shards, replicated(weight, shards), replicated(bias, shards))
        assert_close(whole(result), fused_fourier_mix(x, weight, bias).detach())


@case
def keyword_arguments_of_the_operators() -> None:
    x, (weight, bias) = example().detach(), vectors()
    shards = placed(x, Shard(2))
    result = torch.ops.fnet_kernels.fused_fourier_mix(
        shards,
        weight=replicated(weight, shards).detach(),
        bias=replicated(bias, shards).detach(),
        eps=0.1,
        scale=0.3,
    )
    assert_close(whole(result), fused_fourier_mix(x, weight, bias, 0.1, scale=0.3).detach())


@case
def the_rows_of_a_missing_weight() -> None:
    x = example().detach()
    y, rows, rstd = torch.ops.fnet_kernels.fused_fourier_mix_train(
        placed(x, Shard(1)), None, None, 0.1, 1.0
    )
    assert_close(whole(rows), fused_fourier_mix(x, eps=0.1))
    assert_close(whole(y), whole(rows))
    assert whole(rstd).shape == (BATCH, HEADS, SEQ)


@case
def sixteen_bits() -> None:
    x, weight, bias = (t.detach().bfloat16() for t in (example(), *vectors()))
    shards = placed(x, Shard(0))
    placed_weight, placed_bias = replicated(weight, shards), replicated(bias, shards)
    with CommDebugMode() as mode:
        result = fused_fourier_mix(shards, placed_weight, placed_bias)
    assert communicated(mode) == 0
    assert result.dtype == torch.bfloat16
    assert_close(whole(result), fused_fourier_mix(x, weight, bias))


@case
def second_derivatives() -> None:
    def penalty(x: Tensor, weight: Tensor) -> Tensor:
        y = fused_fourier_mix(x, weight, None, 0.1)
        (gradient,) = torch.autograd.grad((y * y * y).sum(), x, create_graph=True)
        return (gradient * gradient).sum()

    x, (weight, _) = example(), vectors()
    penalty(x, weight).backward()
    shards = placed(x, Shard(0))
    placed_weight = replicated(weight, shards)
    penalty(shards, placed_weight).backward()
    assert_close(whole(shards.grad), x.grad, factor=20)
    assert_close(whole(placed_weight.grad), weight.grad, factor=20)


@case
def compiled() -> None:
    for placements in ((Shard(0), Shard(1)), (Shard(2),)):
        x, (weight, bias) = example(), vectors()
        truth = fused_fourier_mix(x, weight, bias, 0.1)
        grad = torch.randn_like(truth)
        truth.backward(grad)
        shards = placed(x, *placements)
        placed_weight, placed_bias = replicated(weight, shards), replicated(bias, shards)
        run = torch.compile(fused_fourier_mix, backend="aot_eager", fullgraph=True)
        result = run(shards, placed_weight, placed_bias, 0.1)
        result.backward(placed(grad, *result.placements))
        assert_close(whole(result), truth)
        assert_close(whole(shards.grad), x.grad, factor=4)
        assert_close(whole(placed_weight.grad), weight.grad, factor=4)
