"""Placements of the operators: what stays in place, what is redistributed or reduced."""

from __future__ import annotations

import functools
import itertools

import torch
from torch.distributed.tensor import Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode

from fnet_kernels import fourier_mix, fused_fourier_mix, hartley_mix
from python_tests.distributed.shards import (
    BATCH,
    COUPLED,
    HIDDEN,
    LEADING,
    SEQ,
    case,
    communicated,
    example,
    mesh,
    open_sum,
    placed,
    replicated,
    vectors,
    whole,
)
from python_tests.helpers.close import assert_close


@case
def control() -> None:
    """What fails on one rank is reported."""
    if torch.distributed.get_rank() == 2:
        raise ValueError("seen")


@case
def leading_axes_are_mixed_in_place() -> None:
    for mix, placements in itertools.product((fourier_mix, hartley_mix), LEADING):
        x = example()
        truth = mix(x, scale=0.3)
        grad = torch.randn_like(truth)
        truth.backward(grad)
        shards, grad_shards = placed(x, *placements), placed(grad, *placements)
        with CommDebugMode() as mode:
            result = mix(shards, scale=0.3)
            result.backward(grad_shards)
        assert communicated(mode) == 0, placements
        assert result.placements == shards.grad.placements == placements
        assert_close(whole(result), truth)
        assert_close(whole(shards.grad), x.grad)


@case
def leading_axes_are_fused_in_place() -> None:
    for placements in LEADING:
        for have in ((True, True), (True, False), (False, True), (False, False)):
            x = example()
            weight, bias = (v if has else None for v, has in zip(vectors(), have, strict=True))
            truth = fused_fourier_mix(x, weight, bias, 0.1, scale=0.3)
            grad = torch.randn_like(truth)
            truth.backward(grad)
            shards, grad_shards = placed(x, *placements), placed(grad, *placements)
            placed_weight, placed_bias = replicated(weight, shards), replicated(bias, shards)
            with CommDebugMode() as mode:
                result = fused_fourier_mix(shards, placed_weight, placed_bias, 0.1, scale=0.3)
                result.backward(grad_shards)
            assert communicated(mode) == 0, placements
            assert result.placements == shards.grad.placements == placements
            assert_close(whole(result), truth)
            assert_close(whole(shards.grad), x.grad, factor=4)
            for vector, placed_vector in ((weight, placed_weight), (bias, placed_bias)):
                if vector is None:
                    continue
                expected = [p if p == Replicate() else Partial() for p in placements]
                assert list(placed_vector.grad.placements) == expected
                assert_close(whole(placed_vector.grad), vector.grad, factor=4)


@case
def without_gradient_too() -> None:
    x, (weight, bias) = example().detach(), vectors()
    truth = fused_fourier_mix(x, weight, bias)
    shards = placed(x, Shard(0))
    placed_weight, placed_bias = replicated(weight, shards), replicated(bias, shards)
    for guard in (torch.no_grad(), torch.inference_mode()):
        with guard, CommDebugMode() as mode:
            result = fused_fourier_mix(shards, placed_weight, placed_bias)
        assert communicated(mode) == 0
        assert result.placements == (Shard(0),)
        assert_close(whole(result), truth.detach())


@case
def a_sharded_seq_or_hidden_is_redistributed() -> None:
    for placements in COUPLED:
        x, (weight, bias) = example(), vectors()
        truth = fourier_mix(x, scale=0.3) + fused_fourier_mix(x, weight, bias, 0.1)
        grad = torch.randn_like(truth)
        truth.backward(grad)
        shards = placed(x, *placements)
        with CommDebugMode() as mode:
            mixed = fourier_mix(shards, scale=0.3)
        assert communicated(mode) > 0, placements
        assert not any(isinstance(p, Shard) and p.dim > 1 for p in mixed.placements)
        placed_weight, placed_bias = replicated(weight, shards), replicated(bias, shards)
        result = mixed + fused_fourier_mix(shards, placed_weight, placed_bias, 0.1)
        result.backward(placed(grad, *placements))
        assert_close(whole(result), truth)
        assert_close(whole(shards.grad), x.grad, factor=4)
        assert_close(whole(placed_weight.grad), weight.grad, factor=4)
        assert_close(whole(placed_bias.grad), bias.grad, factor=4)


@case
def a_partial_sum_stays_open_through_the_transform() -> None:
    for kind in ("sum", "avg"):
        summands, truth = open_sum(example().detach(), kind)
        with CommDebugMode() as mode:
            result = fourier_mix(summands, scale=0.3)
            residual = torch.ops.fnet_kernels.fourier_mix(summands, 0.3, True)
        assert communicated(mode) == 0
        assert result.placements == residual.placements == (Partial(kind),)
        assert_close(whole(result), fourier_mix(truth, scale=0.3))
        assert_close(whole(residual), truth + fourier_mix(truth, scale=0.3))
        with CommDebugMode() as mode:
            result = hartley_mix(summands, scale=0.3)
        assert communicated(mode) == 0
        assert result.placements == (Partial(kind),)
        assert_close(whole(result), hartley_mix(truth, scale=0.3))


@case
def other_partials_are_reduced() -> None:
    for kind in ("sum", "avg", "max"):
        summands, truth = open_sum(example().detach(), kind)
        assert_close(whole(fused_fourier_mix(summands)), fused_fourier_mix(truth), factor=4)
    result = fourier_mix(summands)
    assert not any(isinstance(p, Partial) for p in result.placements)
    assert_close(whole(result), fourier_mix(truth))


@case
def a_partial_gradient_stays_open() -> None:
    x, (weight, bias) = example(), vectors()
    grad_summands, grad = open_sum(torch.randn_like(x), "sum")
    fused_fourier_mix(x, weight, bias, 0.1).backward(grad)
    everywhere = placed(x, Replicate())
    placed_weight, placed_bias = replicated(weight, everywhere), replicated(bias, everywhere)
    with CommDebugMode() as mode, torch.no_grad():
        _, rows, rstd = torch.ops.fnet_kernels.fused_fourier_mix_train(
            everywhere, placed_weight, placed_bias, 0.1, 1.0
        )
        gradients = torch.ops.fnet_kernels.fused_fourier_mix_backward(
            grad_summands, rows.detach(), rstd.detach(), placed_weight, 1.0, True, True
        )
    assert communicated(mode) == 0
    for gradient, leaf in zip(gradients, (x, weight, bias), strict=True):
        assert gradient.placements == (Partial(),)
        assert_close(whole(gradient), leaf.grad, factor=4)


@case
def the_other_blocks() -> None:
    """Pre-norm, RMSNorm and a residual: leading axes stay where they are."""
    for norm_first, norm_type in ((True, "layer"), (True, "rms"), (False, "rms")):
        block = functools.partial(
            fused_fourier_mix, eps=0.1, norm_first=norm_first, norm_type=norm_type
        )
        x, (weight, bias) = example(), vectors()
        given = (weight, bias) if norm_type == "layer" else (weight,)
        truth = block(x, *given)
        grad = torch.randn_like(truth)
        truth.backward(grad)
        for placements in (*LEADING, *COUPLED):
            shards, grads = placed(x, *placements), placed(grad, *placements)
            vectors_there = [replicated(t, shards) for t in given]
            with CommDebugMode() as mode:
                result = block(shards, *vectors_there)
                if placements in LEADING:
                    result.backward(grads)
            assert_close(whole(result), truth)
            if placements in LEADING:
                assert communicated(mode) == 0
                assert_close(whole(shards.grad), x.grad, factor=4)
                for there, leaf in zip(vectors_there, given, strict=True):
                    assert there is not None
                    assert_close(whole(there.grad), leaf.grad, factor=4)


@case
def a_residual() -> None:
    x, residual = example().detach(), example().detach()
    truth = fourier_mix(x, residual=residual)
    for placements in LEADING:
        shards, added = placed(x, *placements), placed(residual, *placements)
        with CommDebugMode() as mode:
            result = fourier_mix(shards, residual=added)
        assert communicated(mode) == 0
        assert_close(whole(result), truth)
    summands, truth_x = open_sum(x, "sum")
    more, truth_residual = open_sum(residual, "sum")
    with CommDebugMode() as mode:
        result = fourier_mix(summands, residual=more)
    assert communicated(mode) == 0
    assert_close(whole(result), fourier_mix(truth_x, residual=truth_residual))


@case
def uneven_and_missing_shares() -> None:
    for batch in (1, 2, 5, 7):
        x = torch.randn(batch, SEQ, HIDDEN)
        shards = placed(x, Shard(0))
        assert_close(whole(fourier_mix(shards)), fourier_mix(x))
        assert_close(whole(fused_fourier_mix(shards)), fused_fourier_mix(x))


@case
def interleaved_shares() -> None:
    """The placement that a view of doubly sharded axes has."""
    x = torch.randn(2, BATCH, SEQ, HIDDEN)
    with CommDebugMode() as mode:
        shards = distribute_tensor(x, mesh(2, 2), [Shard(1), Shard(0)]).flatten(0, 1)
        before = communicated(mode)
        result = fused_fourier_mix(shards)
    assert communicated(mode) == before
    assert type(shards.placements[0]).__name__ == "_StridedShard"
    assert result.placements == shards.placements
    assert_close(whole(result), fused_fourier_mix(x.flatten(0, 1)))


@case
def sequences_of_different_lengths_are_gathered() -> None:
    lengths = [3, 6, 0, 1, 2, 6, 5, 4]
    x = torch.randn(BATCH, SEQ, HIDDEN, requires_grad=True)
    weight = vectors()[0]
    expected = fused_fourier_mix(x, weight, eps=1e-3, lengths=lengths)
    right = torch.autograd.grad(expected.square().sum(), (x, weight))
    for placement in (Shard(0), Shard(1), Replicate()):
        shards = placed(x, placement)
        vector = replicated(weight, shards)
        y = fused_fourier_mix(shards, vector, eps=1e-3, lengths=lengths)
        assert torch.equal(whole(y), expected)
        found = torch.autograd.grad(y.square().sum(), (shards, vector))
        for one, other in zip(found, right, strict=True):
            assert_close(whole(one), other.double(), 10)
        mixed = fourier_mix(shards, lengths=lengths)
        assert torch.equal(whole(mixed), fourier_mix(x, lengths=lengths))
    given = torch.tensor(lengths)
    for tensor in (given, torch.arange(SEQ) < given[:, None]):
        compiled = torch.compile(fourier_mix, backend="aot_eager")
        mixed = compiled(placed(x, Shard(0)).detach(), lengths=tensor)
        assert torch.equal(whole(mixed), fourier_mix(x, lengths=lengths))
