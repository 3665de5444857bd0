"""The meaning of padding in saved models and in copies."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from fnet_kernels import models
from fnet_kernels.models import FNetConfig
from python_tests.helpers.close import relative_error
from python_tests.helpers.padded import CU_SEQLENS, MASK, packed
from python_tests.helpers.padded_models import IDS, make, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def test_padding_is_saved(tmp_path: Path) -> None:
    model = make("FNetForMaskedLM", round_to=8)
    assert FNetConfig.from_json(model.config.to_json()) == model.config
    model.save_pretrained(tmp_path)
    assert '"model_type": "fnet_kernels"' in (tmp_path / "config.json").read_text()
    again = models.FNetForMaskedLM.from_pretrained(tmp_path)
    assert (again.config.padding, again.config.round_to) == ("exact", 8)
    given = {"attention_mask": MASK}
    expected = tensors(model(IDS, **given))
    assert all(map(torch.equal, tensors(again(IDS, **given)), expected))
    zero = models.FNetForMaskedLM.from_pretrained(tmp_path, padding="zero", round_to=None)
    assert relative_error(zero(IDS, **given).logits[1], expected[0][1]) > 1e-2


def test_transformers_knows_the_saved_padding(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from fnet_kernels import hf

    hf.register()
    for config in ({}, {"round_to": 8, "num_attention_layers": 1, "pooling": "mean"}):
        model = make(**config)
        model.save_pretrained(tmp_path)
        theirs = transformers.AutoModel.from_pretrained(tmp_path).eval()
        for x, options in (
            (IDS, {"attention_mask": MASK}),
            (packed(IDS)[None], {"cu_seq_lens_q": torch.tensor(CU_SEQLENS)}),
        ):
            got = theirs(x, **options, output_hidden_states=True)
            renamed = {k.replace("cu_seq_lens_q", "cu_seqlens"): v for k, v in options.items()}
            expected = model(x, **renamed, output_hidden_states=True)
            for a, b in zip(
                (*got.hidden_states, got.pooler_output),
                (*expected.hidden_states, expected.pooler_output),
                strict=True,
            ):
                assert relative_error(a, b) <= 1e-6

    theirs.config.padding, theirs.config.round_to = "tokens", None
    with pytest.raises(ValueError, match="cu_seqlens must be None with padding='tokens'"):
        theirs(packed(IDS)[None], cu_seq_lens_q=torch.tensor(CU_SEQLENS))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_keep_the_padding(clone: Any) -> None:
    model = make(round_to=8)
    options: Any = {"attention_mask": MASK}
    assert torch.equal(clone(model)(IDS, **options)[0], model(IDS, **options)[0])
