"""`patch_fnet(padding=...)` changes a model in place, and `unpatch_fnet` restores it."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from fnet_kernels import hf
from python_tests.helpers.close import relative_error
from python_tests.helpers.fnet_models import MODELS, build, results
from python_tests.helpers.padded import MASK, SEQ
from python_tests.helpers.padded_models import IDS
from python_tests.helpers.patched_models import patched

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", MODELS)
def test_unpatch_restores_exactly(name: str) -> None:
    model, stock = patched(name), build(name, hidden_dropout_prob=0.0)
    hf.unpatch_fnet(model)
    for (path, ours), theirs in zip(model.named_modules(), stock.modules(), strict=True):
        assert type(ours) is type(theirs), path
        assert vars(ours).keys() == vars(theirs).keys(), path


def test_the_feed_forward_network_may_take_tokens_in_chunks() -> None:
    whole, *chunked = (patched(chunk_size_feed_forward=size) for size in (0, 1, 4))
    expected = whole(IDS, attention_mask=MASK)[0]
    for model in chunked:  # 4 does not divide the number of tokens, 31
        model.load_state_dict(whole.state_dict())
        assert relative_error(model(IDS, attention_mask=MASK)[0], expected) < 1e-5


def test_the_last_padding_holds() -> None:
    model = build("FNetForMaskedLM")
    given = {"input_ids": IDS, "attention_mask": MASK}
    stock = type(model)
    for padding, round_to in (("exact", None), ("exact", 4), ("zero", None), ("tokens", None)):
        report = hf.patch_fnet(model, padding=padding, round_to=round_to)
        assert report.padding == padding
        assert (f"padding='{padding}'" in str(report)) == (padding != "tokens")
        expected = patched("FNetForMaskedLM", padding, round_to=round_to)
        assert all(map(torch.equal, results(model, **given), results(expected, **given)))
        assert (type(model) is stock) == (padding == "tokens")
    assert "_fnet_padding" not in vars(model.fnet)


def test_parameters_keys_and_names_do_not_change(tmp_path: Path) -> None:
    model = build("FNetForMaskedLM")
    keys, parameters = list(model.state_dict()), dict(model.named_parameters())
    hf.patch_fnet(model, padding="exact")
    assert list(model.state_dict()) == keys
    assert all(value is parameters[name] for name, value in model.named_parameters())
    assert isinstance(model, transformers.FNetForMaskedLM)
    model.save_pretrained(tmp_path)
    assert '"FNetForMaskedLM"' in (tmp_path / "config.json").read_text()
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert type(loaded) is transformers.FNetForMaskedLM
    hf.patch_fnet(loaded, padding="exact")
    given = {"input_ids": IDS, "attention_mask": MASK}
    assert all(map(torch.equal, results(loaded, **given), results(model, **given)))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_keep_the_padding(clone: Any) -> None:
    model = patched("FNetForSequenceClassification", round_to=4)
    given = {"input_ids": IDS, "attention_mask": MASK}
    expected = results(model, **given)
    twin = clone(model)
    hf.unpatch_fnet(model)
    assert all(map(torch.equal, results(twin, **given), expected))


def test_threads_have_sequences_of_their_own() -> None:
    model = patched()
    batches = [{"input_ids": IDS[:, :n], "attention_mask": MASK[:, :n]} for n in (9, SEQ)]
    expected = [results(model, **batch)[0] for batch in batches]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            if not torch.equal(results(model, **batches[i])[0], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
