"""Models of padded sequences, traced by `torch.jit.trace` and mapped by `torch.vmap`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fnet_kernels import FNetEncoder, FourierAttention
from fnet_kernels._sequences import Sequences, Traced
from python_tests.helpers.close import assert_close, relative_error
from python_tests.helpers.padded import MASK, SEQ
from python_tests.helpers.padded_models import IDS, make

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning"),
]
OTHER = torch.arange(SEQ) < torch.tensor([[3], [16], [0], [7]])


class Call(nn.Module):
    """The first tensor that `model` returns, of positional arguments."""

    def __init__(self, model: nn.Module, name: str, **options: Any) -> None:
        super().__init__()
        self.model, self.name, self.options = model.requires_grad_(False), name, options

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        options = self.options if given is None else {self.name: given}
        result = self.model(x, **options)
        return result if isinstance(result, Tensor) else result[0]


@pytest.mark.parametrize(
    ("padding", "config"),
    [
        ("exact", {}),
        ("exact", {"round_to": 4}),
        ("exact", {"num_attention_layers": 1, "pooling": "mean"}),
        ("zero", {}),
        ("zero", {"mixer": "hartley"}),
    ],
)
def test_a_traced_model_serves_other_masks(padding: str, config: dict[str, Any]) -> None:
    model = make(padding=padding, **config)
    for name, first, second in (
        ("attention_mask", MASK, OTHER),
        ("attention_mask", MASK.float(), OTHER.float()),
        ("lengths", MASK.sum(-1), OTHER.sum(-1)),
    ):
        call = Call(model, name)
        traced = torch.jit.trace(call, (IDS, first))
        in_python = "traced_fused_fourier_mix" in str(traced.inlined_graph)
        assert in_python == (padding == "exact")  # docs/cpp.md
        assert relative_error(traced(IDS, second), call(IDS, second)) < 1e-5
        half = (SEQ // 2,) if name == "attention_mask" else ()
        shorter = IDS[:3, : SEQ // 2], second[:3][(slice(None), *map(slice, half))].clamp(max=8)
        assert relative_error(traced(*shorter), call(*shorter)) < 1e-5


@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"norm_type": "rms"}])
@pytest.mark.parametrize("round_to", [None, 4])
def test_a_traced_encoder_serves_other_shapes(
    options: dict[str, Any], round_to: int | None
) -> None:
    """Without lengths, and with lists of them, which become part of the graph."""
    encoder = FNetEncoder(2, 4, 8, padding="exact", round_to=round_to, **options).eval()
    for call, given in (
        (Call(encoder, ""), {}),
        (Call(encoder, "", lengths=[7, 2]), {"lengths": [7, 2]}),
        (Call(encoder, "", lengths=[8, 8]), {"lengths": [8, 8]}),
    ):
        traced = torch.jit.trace(call, (torch.randn(2, 8, 4),))
        for seq in (8, 9, 12):
            x = torch.randn(2, seq, 4)
            assert_close(traced(x), encoder(x, **given), factor=10)


def test_a_trace_checks_masks() -> None:
    traced = torch.jit.trace(Call(make(), "attention_mask"), (IDS, MASK))
    with pytest.raises(RuntimeError, match="a True after a False in sequence"):
        traced(IDS, MASK.flip(-1))


def test_a_trace_refuses_offsets_of_a_tensor() -> None:
    offsets = torch.tensor([0, 3, SEQ])
    with pytest.raises(ValueError, match=r"cu_seqlens must be a list of ints, .*torch\.jit\.trace"):
        torch.jit.trace(Call(make(), "cu_seqlens"), (IDS[0], offsets))


@pytest.mark.parametrize("padding", ["exact", "zero"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_gradients_of_each_sample(padding: str, dtype: torch.dtype) -> None:
    model = make("FNetForSequenceClassification", padding=padding, pooling="mean")
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], ids: Tensor, mask: Tensor) -> Tensor:
        given = {"attention_mask": mask[None]}
        out = torch.func.functional_call(model, parameters, (ids[None],), given)
        result: Tensor = out.logits.pow(2).sum()
        return result

    mask = MASK.to(dtype)
    gradient = torch.func.grad(loss)
    found = torch.vmap(gradient, in_dims=(None, 0, 0))(parameters, IDS, mask)
    for i in (1, 3):
        for name, expected in gradient(parameters, IDS[i], mask[i]).items():
            if expected.any():
                assert relative_error(found[name][i], expected) < 1e-3, name


def test_a_trace_refuses_lengths_that_would_broadcast() -> None:
    encoder = FNetEncoder(1, 4, 8, padding="zero").eval()
    with pytest.raises(ValueError, match="lengths must be a tensor of lengths of shape"):
        torch.jit.trace(Call(encoder, "lengths"), (torch.randn(4, SEQ, 4), torch.tensor([3])))


@pytest.mark.parametrize("fake", [False, True])
def test_sequences_of_a_graph_are_float32_under_autocast(fake: bool) -> None:
    x = torch.randn(4, SEQ, 8).bfloat16()
    mode = FakeTensorMode(allow_non_fake_inputs=True) if fake else nullcontext()
    with mode, torch.autocast("cpu", torch.bfloat16):
        for sequences in (Sequences(MASK), Traced(MASK, None)):
            assert sequences.fourier_mix(x).dtype is torch.float32
            assert sequences.fused_fourier_mix(x, None, None, 1e-5).dtype is torch.float32


def test_a_learned_mixer_needs_integers_under_vmap() -> None:
    encoder = FNetEncoder(1, 4, 8, mixer="hartley", padding="exact").eval()
    with pytest.raises(ValueError, match=r"under torch.vmap, lengths must be a list of ints"):
        torch.vmap(encoder)(torch.randn(3, 2, 8, 4), torch.ones(3, 2, 8))


def test_a_mask_of_meta_beside_values_is_refused() -> None:
    for padding in ("exact", "zero"):
        with pytest.raises(ValueError, match="attention_mask must be on the CPU or on the device"):
            make(padding=padding)(IDS, attention_mask=MASK.to("meta"))


def test_attention_refuses_a_mapped_mask() -> None:
    attention = FourierAttention(4, batch_first=True)
    with pytest.raises(ValueError, match="attn_mask must be None, or a tensor with values; got a"):
        torch.vmap(lambda x, m: attention(x, attn_mask=m)[0])(
            torch.randn(3, 2, 8, 4), torch.zeros(3, 8, 8)
        )
    padded = FourierAttention(4, batch_first=True, padding="exact")
    x, mask = torch.randn(3, 2, 8, 4), torch.arange(8) >= torch.tensor([3, 8])[:, None]
    mapped = torch.vmap(lambda x: padded(x, key_padding_mask=mask)[0])(x)
    assert_close(mapped, torch.stack([padded(t, key_padding_mask=mask)[0] for t in x]))
    masks = torch.stack([mask, mask.flip(0), mask])
    found = torch.vmap(lambda x, m: padded(x, key_padding_mask=m)[0])(x, masks)
    pairs = zip(x, masks, strict=True)
    assert_close(found, torch.stack([padded(t, key_padding_mask=m)[0] for t, m in pairs]))
