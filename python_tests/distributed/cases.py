"""What the ranks of test_dtensor.py do: distributed results are compared with local ones."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Placement,
    Replicate,
    Shard,
    distribute_module,
    distribute_tensor,
)
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)

from fnet_kernels import (
    FNetEncoder,
    FourierMix,
    FusedFourierMix,
    fourier_mix,
    fused_fourier_mix,
    hartley_mix,
)
from python_tests.distributed.ranks import SIZE
from python_tests.helpers.close import assert_close

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


@case
def control() -> None:
    """What fails on one rank is reported."""
    if torch.distributed.get_rank() == 2:
        raise ValueError("seen")


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


def open_sum(t: Tensor, kind: str) -> tuple[DTensor, Tensor]:
    """A different multiple of `t` on each rank, and what they make together."""
    rank = torch.distributed.get_rank()
    factors = [1.0, -2.0, 3.0, 0.5]
    together = {"sum": sum(factors), "avg": sum(factors) / SIZE, "max": None}[kind]
    local = t.detach() * factors[rank]
    truth = t * together if together is not None else torch.maximum(3 * t, -2 * t)
    return DTensor.from_local(local, mesh(SIZE), [Partial(kind)]), truth


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
