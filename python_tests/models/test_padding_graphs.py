"""Models of padded sequences, compiled and exported."""

from __future__ import annotations

import pytest
import torch

from fnet_kernels import FNetEncoder, FourierMix, onnx
from fnet_kernels._ops import traced, varlen
from python_tests.helpers.close import assert_close, relative_error
from python_tests.helpers.padded import LENGTHS, MASK, SEQ, packed
from python_tests.helpers.padded_models import GIVEN, IDS, make, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("padding", "given_as", "dynamic"),
    [
        ("zero", "ones", None),
        ("exact", "ones", True),
        ("exact", "a tensor", None),
        ("exact", "a list", None),
        ("exact", "offsets", True),
    ],
)
def test_compiles_as_one_graph(padding: str, given_as: str, dynamic: bool | None) -> None:
    torch.compiler.reset()
    model = make("FNetForSequenceClassification", padding=padding, num_attention_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    options = {**GIVEN[given_as], "labels": torch.tensor([0, 1, 0, 1])}
    ids = packed(IDS) if given_as == "offsets" else IDS
    results = []
    for each in (compiled, model):
        model.zero_grad()
        output = each(ids, **options)
        output.loss.backward()
        results.append([output.logits, model.fnet.embeddings.projection.weight.grad.clone()])
    for a, b in zip(*results, strict=True):
        assert relative_error(a, b) < 1e-5
    if given_as == "ones":
        with pytest.raises(RuntimeError, match="attention_mask must keep the first tokens"):
            compiled(IDS, **{**options, "attention_mask": MASK.flip(-1).long()})


@pytest.mark.parametrize("round_to", [None, 4])
def test_the_operator_of_graphs(round_to: int | None) -> None:
    x = torch.randn(2, 5, 3, requires_grad=True, dtype=torch.float64)
    constants = torch.tensor([5, 2]), round_to or 1, "ortho", 0.5, False
    torch.library.opcheck(traced.mix, (x, *constants))
    strided = torch.empty(2, 3, 5, device="meta").mT
    assert traced.mix(strided, *constants).is_contiguous()
    y = traced.mix(x, *constants)
    assert torch.equal(y, FourierMix(0.5, norm="ortho")(x, [5, 2], round_to))
    assert torch.autograd.gradgradcheck(lambda t: traced.mix(t, *constants), x)
    (gradient,) = torch.autograd.grad(y, x, y.detach())
    assert torch.equal(gradient, traced.mix(y.detach(), *constants))
    composed = onnx.decompositions()[traced.mix]
    for norm in ("backward", "ortho", "forward"):
        for residual in (False, True):
            arguments = torch.tensor([7, 0, 4]), round_to or 1, norm, 0.5, residual
            x = torch.randn(3, 7, 5)
            assert_close(composed(x, *arguments), traced.mix(x, *arguments), factor=10)


@pytest.mark.parametrize("as_mask", [False, True])
@pytest.mark.parametrize("round_to", [1, 4])
def test_the_fused_operator_of_graphs(round_to: int, as_mask: bool) -> None:
    """Results and gradients equal those of a list of lengths bitwise."""
    double = {"dtype": torch.float64, "requires_grad": True}
    inputs = torch.randn(2, 5, 3, **double), torch.randn(3, **double), torch.randn(3, **double)
    lengths = torch.tensor([5, 2])
    lengths = torch.arange(5) < lengths[:, None] if as_mask else lengths
    constants = round_to, "ortho", 1e-3, 0.5
    for op in (traced.fused, traced.train):
        torch.library.opcheck(op, (*inputs, lengths, *constants))

    def ours(*inputs: torch.Tensor) -> torch.Tensor:
        return varlen.TRACED.call(*inputs, lengths, *constants)

    def right(*inputs: torch.Tensor) -> torch.Tensor:
        return varlen.VARLEN.call(*inputs, [5, 2], *constants)

    results = [
        (y := f(*inputs), *torch.autograd.grad(y.pow(3).sum(), inputs)) for f in (ours, right)
    ]
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    assert torch.autograd.gradcheck(ours, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(ours, inputs)
    decompositions = onnx.decompositions()
    for op in (traced.fused, traced.train):
        found, expected = (f(*inputs, lengths, *constants) for f in (decompositions[op], op))
        for a, b in zip(_several(found), _several(expected), strict=True):
            assert_close(a.detach(), b.detach(), factor=10)


def _several(results: object) -> tuple[torch.Tensor, ...]:
    return results if isinstance(results, tuple) else (results,)  # type: ignore[return-value]


def test_one_graph_serves_all_masks() -> None:
    torch.compiler.reset()
    model = make(round_to=4)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for lengths in ([16, 5, 1, 9], [3, 3, 16, 0], [7, 8, 9, 10]):
        mask = torch.arange(SEQ) < torch.tensor(lengths)[:, None]
        with torch.compiler.set_stance("default" if lengths == LENGTHS else "fail_on_recompile"):
            got = compiled(IDS, attention_mask=mask)
        expected = model(IDS, attention_mask=mask)
        assert relative_error(got[0], expected[0]) < 1e-5


def test_a_learned_mixer_needs_integers_in_a_graph() -> None:
    torch.compiler.reset()
    model = make(mixer="none", num_hidden_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert compiled(IDS, lengths=LENGTHS)[0].shape == (4, SEQ, 64)
    with pytest.raises(Exception, match="lengths must be a list of ints"):
        compiled(IDS, attention_mask=MASK)


@pytest.mark.parametrize("padding", ["exact", "zero"])
def test_export_with_a_dynamic_batch_and_length(padding: str) -> None:
    from torch.export import Dim, export

    model = make(padding=padding)
    sizes = {0: Dim("batch", max=64), 1: Dim("seq", min=2, max=SEQ)}
    program = export(
        model,
        (IDS,),
        {"attention_mask": MASK},
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
    )
    ids, mask = IDS[1:, :12], MASK[1:, :12]
    got, expected = (m(ids, attention_mask=mask) for m in (program.module(), model))
    for a, b in zip(tensors(got), tensors(expected), strict=True):
        assert relative_error(a, b) < 1e-5


def test_a_graph_takes_positions_that_do_not_start_again() -> None:
    model = make().eval()
    rising = torch.arange(SEQ).expand(4, -1)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    program = torch.export.export(model, (IDS,), {"position_ids": rising}).module()
    for graph in (compiled, program):
        got = tensors(graph(IDS, position_ids=rising))
        for a, b in zip(got, tensors(model(IDS, position_ids=rising)), strict=True):
            assert relative_error(a, b) < 1e-5
        with pytest.raises(RuntimeError, match="position_ids that start again must come with cu_s"):
            graph(IDS, position_ids=rising % 8)
    torch.compiler.reset()
    packed = torch.compile(model, backend="aot_eager")  # in more than one graph
    row, positions = IDS[:1], rising[:1] % 8
    for given in (positions, rising[:1], positions):
        got, expected = (m(row, position_ids=given) for m in (packed, model))
        assert got.pooler_output.shape == expected.pooler_output.shape
        assert relative_error(got.last_hidden_state, expected.last_hidden_state) < 1e-5


@pytest.mark.parametrize("padding", ["zero", "exact"])
def test_a_graph_checks_lengths(padding: str) -> None:
    """As a call without a graph does, whose errors name the sequence."""
    x = torch.randn(2, 4, 16)
    encoder = FNetEncoder(1, 16, 32, padding=padding).eval()
    right = torch.tensor([4, 2])
    holes = torch.tensor([[True] * 4, [True, False, True, True]])
    wrong = [
        (torch.tensor([4, 9]), RuntimeError, "lengths must be between 0 and the rows"),
        (torch.tensor([-1, 2]), RuntimeError, "lengths must be between 0 and the rows"),
        (holes, RuntimeError, "lengths must keep the first tokens of each row"),
        (torch.tensor([2.7, 1.0]), TypeError, "lengths must be torch.int32 or torch.int64"),
        (torch.tensor([3]), ValueError, r"lengths must be a tensor of lengths of shape \(2,\)"),
    ]
    torch.compiler.reset()
    compiled = torch.compile(encoder, backend="aot_eager")
    assert relative_error(compiled(x, lengths=right), encoder(x, lengths=right)) < 1e-6
    for lengths, kind, message in wrong:
        torch.compiler.reset()
        with pytest.raises(kind, match=message):
            torch.compile(encoder, backend="aot_eager")(x, lengths=lengths)
        with pytest.raises((TypeError, ValueError), match="lengths"):
            encoder(x, lengths=lengths)


@pytest.mark.parametrize("mixer", ["fourier", "dct", "attention"])
def test_a_graph_without_lengths_rounds_any_length(mixer: str) -> None:
    encoder = FNetEncoder(2, 16, 32, mixer=mixer, padding="exact", round_to=8).eval()
    sizes = {0: torch.export.Dim("batch")}
    if mixer != "dct":  # torch cannot prove its guards for a rounded free length
        sizes[1] = torch.export.Dim("seq", min=2)
    x = torch.randn(2, 9, 16)
    exported = torch.export.export(encoder, (x,), dynamic_shapes=(sizes,)).module()
    torch.compiler.reset()
    compiled = torch.compile(encoder, fullgraph=True, dynamic=True, backend="eager")
    for shape in ((2, 16, 16), (3, 7, 16), (1, 9, 16)):
        y = torch.randn(shape)
        expected = encoder(y)
        if 1 in sizes or shape[1] == 9:
            assert_close(exported(y), expected)
        assert_close(compiled(y), expected)
    if mixer != "attention":
        unrounded = FNetEncoder(2, 16, 32, mixer=mixer, padding="exact").eval()
        unrounded.load_state_dict(encoder.state_dict())
        assert relative_error(unrounded(y), expected) > 1e-2
