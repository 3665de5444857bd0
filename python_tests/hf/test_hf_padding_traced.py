"""`patch_fnet(padding=...)` under `torch.jit.trace` and `torch.vmap`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from python_tests.helpers.close import relative_error
from python_tests.helpers.padded import MASK, SEQ
from python_tests.helpers.padded_models import IDS
from python_tests.helpers.patched_models import patched

pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning"),
]
OTHER = torch.arange(SEQ) < torch.tensor([[3], [16], [0], [7]])


class Call(nn.Module):
    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model, self.name = model.requires_grad_(False), name

    def forward(self, ids: Tensor, given: Tensor) -> Tensor:
        result: Tensor = self.model(ids, **{self.name: given}).last_hidden_state
        return result


@pytest.mark.parametrize("padding", ["exact", "zero"])
def test_a_traced_model_serves_other_masks(padding: str) -> None:
    call = Call(patched(padding=padding), "attention_mask")
    traced = torch.jit.trace(call, (IDS, MASK.long()))
    assert relative_error(traced(IDS, OTHER.long()), call(IDS, OTHER.long())) < 1e-5


@pytest.mark.parametrize("padding", ["exact", "zero"])
def test_vmap_over_masks(padding: str) -> None:
    call = Call(patched(padding=padding), "attention_mask")
    ids, masks = torch.stack([IDS, IDS.flip(0)]), torch.stack([MASK, OTHER])
    expected = torch.stack([call(i, m) for i, m in zip(ids, masks, strict=True)])
    assert relative_error(torch.vmap(call)(ids, masks), expected) < 1e-5


def test_positions_on_meta_say_nothing_of_packed_rows() -> None:
    positions = torch.arange(SEQ, device="meta")[None]
    y = patched().to("meta")(IDS[:1].to("meta"), position_ids=positions).last_hidden_state
    assert y.is_meta


def test_positions_of_packed_rows_are_not_recorded() -> None:
    model = patched()
    positions = torch.arange(SEQ)[None]
    for name in ("position_ids", "cu_seq_lens_q"):
        given = positions if name == "position_ids" else torch.tensor([0, 3, SEQ])
        argument = name if name == "position_ids" else "cu_seqlens"
        with pytest.raises(ValueError, match=f"{argument} must be .*under torch.jit.trace"):
            torch.jit.trace(Call(model, name), (IDS[:1], given))
    call = Call(patched(padding="zero"), "position_ids")  # no packed rows
    traced = torch.jit.trace(call, (IDS[:1], positions))
    assert relative_error(traced(IDS[:1], positions % 5), call(IDS[:1], positions % 5)) < 1e-5
