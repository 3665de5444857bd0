"""What `patch_fnet(padding=...)` and a patched model refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fnet_kernels import hf
from python_tests.helpers.fnet_models import build
from python_tests.helpers.padded import MASK, SEQ, packed
from python_tests.helpers.padded_models import IDS
from python_tests.helpers.patched_models import flattened, patched

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")


def test_masks_that_are_no_prefixes_are_errors() -> None:
    left, holes = MASK.flip(-1), torch.ones(4, SEQ).index_fill(1, torch.tensor(2), 0)
    for padding in ("exact", "zero"):
        for name in ("FNetModel", "FNetForMaskedLM"):
            for mask in (left, holes):
                with pytest.raises(
                    ValueError, match=r"attention_mask must keep the first tokens of each row"
                ):
                    patched(name, padding)(input_ids=IDS, attention_mask=mask)
    with pytest.raises(ValueError, match=r"shape of the input, \(4, 16\); got shape \(4, 3\)"):
        patched()(input_ids=IDS, attention_mask=MASK[:, :3])


def test_bad_arguments_are_errors() -> None:
    model = build()
    with pytest.raises(
        ValueError, match="patch_fnet: padding must be one of 'tokens', 'zero', 'ex"
    ):
        hf.patch_fnet(model, padding="none")
    with pytest.raises(ValueError, match="patch_fnet: round_to must be None with padding='tokens'"):
        hf.patch_fnet(model, round_to=8)
    with pytest.raises(ValueError, match="cu_seqlens must end at the number of rows of x, 31"):
        patched()(input_ids=packed(IDS)[None], cu_seq_lens_q=torch.tensor([0, 30]))
    with pytest.raises(
        ValueError, match="position_ids that start again must be those of packed tokens"
    ):
        patched()(input_ids=IDS, position_ids=torch.tensor([[0, 1] * 8]).expand(4, -1))
    with pytest.raises(ValueError, match="cu_seqlens must be None with padding='zero'"):
        patched(padding="zero")(**flattened(return_flash_attn_kwargs=True))


class Variant(transformers.FNetForMaskedLM):
    """A class that may not hand the mask down."""


def test_a_model_whose_layers_would_get_no_lengths_is_an_error() -> None:
    variant, hooked = build("FNetForMaskedLM"), build()
    variant.__class__ = Variant
    hooked.encoder.layer[1].forward = hooked.encoder.layer[1].forward
    skipped = build()
    skipped.encoder.layer[0].fourier.self = nn.Identity()
    cases = {
        "the model: its class is Variant": variant,
        r"encoder\.layer\.1: its forward has been replaced": hooked,
        r"encoder\.layer\.0\.fourier: its transform's class is Identity": skipped,
        r"0\.fourier: it is in no FNetModel": build().encoder.layer,
    }
    for message, model in cases.items():
        classes = [type(module) for module in model.modules()]
        with pytest.raises(ValueError, match=f"may not reach every layer; .*{message}"):
            hf.patch_fnet(model, padding="exact")
        assert [type(module) for module in model.modules()] == classes
    hf.patch_fnet(variant.fnet, padding="exact")
    states = variant.fnet(input_ids=IDS, attention_mask=MASK).last_hidden_state
    assert not states[~MASK].any()


def test_padding_without_a_mask_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import modeling_utils

    warnings: list[str] = []
    monkeypatch.setattr(modeling_utils.logger, "warning_once", warnings.append)
    model = patched(pad_token_id=3)
    model(input_ids=IDS)
    model(input_ids=IDS.where(MASK, 3), attention_mask=MASK)
    assert not warnings
    model(input_ids=IDS.where(MASK, 3))
    assert "attention_mask" in warnings[0]


def test_positions_start_again_only_where_they_do_not_rise() -> None:
    model = build().eval()
    hf.patch_fnet(model, padding="exact")
    ids = IDS[:1, :6]
    rising = torch.tensor([[0, 2, 4, 6, 8, 10]])
    assert model(ids, position_ids=rising).pooler_output.shape[0] == 1
    again = torch.tensor([[0, 1, 2, 0, 1, 0]])
    assert model(ids, position_ids=again).pooler_output.shape[0] == 3
    clamped = torch.tensor([[0, 1, 2, 3, 3, 3]])
    assert model(ids, position_ids=clamped).pooler_output.shape[0] == 1
    for positions in (again, again.expand(2, 6)):
        with pytest.raises(ValueError, match=r"position_ids that start again must .*\(2, 6\)"):
            model(IDS[:2, :6], position_ids=positions)


@pytest.mark.parametrize("own", [False, True], ids=["patched", "registered"])
def test_a_packed_sequence_longer_than_the_positions_is_an_error(
    own: bool, registered: None
) -> None:
    small = {"max_position_embeddings": 8, "hidden_size": 24, "intermediate_size": 48}
    if own:
        config = {**small, "model_type": "fnet_kernels", "padding": "exact", "mixer": "dct"}
        model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(**config))
    else:
        model = transformers.FNetModel(transformers.FNetConfig(**small))
        hf.patch_fnet(model, padding="exact")
    ids = torch.arange(4, 24)[None]
    with pytest.raises(ValueError, match="max_position_embeddings=8 tokens, got 12"):
        model(ids, cu_seqlens=[0, 12, 20])
    assert model.eval()(ids, cu_seqlens=[0, 8, 12, 20])[0].isfinite().all()
