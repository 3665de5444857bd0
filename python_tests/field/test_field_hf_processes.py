"""People send patched models to other processes and call them from threads."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fnet_kernels import hf
from python_tests.helpers.fnet_models import FusedCalls, agree, batch, build
from python_tests.helpers.forks import Forks

transformers = pytest.importorskip("transformers")


@pytest.fixture
def patched() -> nn.Module:
    model = build()
    hf.patch_fnet(model)
    return model


def test_a_whole_model_is_saved_and_loaded_in_a_fresh_process(
    patched: nn.Module, tmp_path: Path, forks: Forks
) -> None:
    ids = batch()["input_ids"]
    with torch.no_grad():
        expected = patched(ids).last_hidden_state
    torch.save(patched, tmp_path / "model.pt")
    torch.save({"ids": ids, "expected": expected}, tmp_path / "data.pt")
    script = """
import sys, torch
model = torch.load("model.pt", weights_only=False)
data = torch.load("data.pt")
with torch.no_grad():
    assert torch.equal(model(data["ids"]).last_hidden_state, data["expected"])
from fnet_kernels import hf
assert len(hf.patch_fnet(model).unchanged) == 2
assert len(hf.unpatch_fnet(model).changed) == 2
"""
    done = forks.run(script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


class Embedded(Dataset[Tensor]):
    """Runs the model in the workers of a DataLoader."""

    def __init__(self, model: nn.Module, ids: Tensor) -> None:
        self.model, self.ids = model, ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> Tensor:
        with torch.no_grad():
            found: Tensor = self.model(self.ids[i : i + 1]).last_hidden_state[0]
        return found


@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_of_a_dataloader_run_the_model(
    patched: nn.Module, start: str, workers: int
) -> None:
    ids = torch.randint(4, 100, (4, 16))
    with torch.no_grad():
        expected = patched(ids).last_hidden_state  # the parent has threads by now
    loader = DataLoader(
        Embedded(patched, ids), batch_size=1, num_workers=workers, multiprocessing_context=start
    )
    agree([torch.cat(list(loader))], [expected], 1e-6)


def test_threads_share_a_model(patched: nn.Module) -> None:
    inputs = [torch.randint(4, 100, (2, 3 + i)) for i in range(8)]

    def run(ids: Tensor) -> Tensor:
        with torch.inference_mode():
            found: Tensor = patched(ids).last_hidden_state
        return found

    expected = [run(ids) for ids in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert all(map(torch.equal, pool.map(run, inputs), expected))


def test_threads_train_replicas(patched: nn.Module) -> None:
    """As nn.DataParallel and parameter servers do, with gradients of one model in many threads."""
    inputs = [batch()["input_ids"].roll(i, 0) for i in range(4)]
    alone = copy.deepcopy(patched)
    for ids in inputs:
        alone(ids).last_hidden_state.square().sum().backward()
    with ThreadPoolExecutor(4) as pool:
        losses = list(pool.map(lambda ids: patched(ids).last_hidden_state.square().sum(), inputs))
    for loss in losses:
        loss.backward()
    true = {name: p.grad for name, p in alone.named_parameters() if p.grad is not None}
    for name, p in patched.named_parameters():
        if name in true:
            scale = float(true[name].abs().max()) + 1e-6
            assert float((p.grad - true[name]).abs().max()) <= 1e-4 * scale, name


@pytest.fixture
def fill_mask() -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    special = {f"{n.lower()}_token": f"[{n}]" for n in ("PAD", "UNK", "CLS", "SEP", "MASK")}
    words = [*special.values(), "the", "cat", "dog", "sat", "ran", "on", "under", "a", "mat"]
    core = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    )
    core.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, **special)
    model = build("FNetForMaskedLM", vocab_size=len(words), pad_token_id=0)
    return transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fill_mask_pipeline(fill_mask: Any, dtype: torch.dtype) -> None:
    text = ["the cat sat on the [MASK]", "a [MASK] ran under the mat"]
    stock = fill_mask(text, top_k=3)
    fill_mask.model.to(dtype)
    hf.patch_fnet(fill_mask.model)
    with FusedCalls() as calls:
        ours = fill_mask(text, top_k=3)
    assert calls.count == 4
    for mine, theirs in zip(ours, stock, strict=True):
        assert mine[0]["token_str"] == theirs[0]["token_str"]
        assert abs(mine[0]["score"] - theirs[0]["score"]) <= (1e-5 if dtype.itemsize > 2 else 3e-2)


def test_pipeline_pads_a_batch_as_stock(fill_mask: Any) -> None:
    text = ["the cat sat on the [MASK]", "a [MASK]"]
    stock = fill_mask(text, top_k=3, batch_size=2)
    hf.patch_fnet(fill_mask.model)
    ours = fill_mask(text, top_k=3, batch_size=2)
    for mine, theirs in zip(ours, stock, strict=True):
        assert [m["token"] for m in mine] == [t["token"] for t in theirs]
