"""Models of `fnet_kernels.models`: sharded ones in files, and averaged gradients."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from fnet_kernels.models import FNetConfig, FNetForMaskedLM
from python_tests.distributed.ranks import SIZE
from python_tests.distributed.shards import case, mesh
from python_tests.helpers.close import relative_error

IDS = torch.arange(4, 4 + 8 * SIZE).reshape(SIZE, 8)


def masked_lm() -> FNetForMaskedLM:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "max_position_embeddings": 8, "hidden_dropout_prob": 0.0}
    return FNetForMaskedLM(FNetConfig.mini(**sizes, num_hidden_layers=1))


@case
def a_fully_sharded_model_is_saved_by_its_gathered_state() -> None:
    if find_spec("safetensors") is None:
        return
    model = masked_lm()
    for layer in model.fnet.encoder.layer:
        fully_shard(layer, mesh=mesh(SIZE))
    fully_shard(model, mesh=mesh(SIZE))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        message = r"word_embeddings.weight must be a whole tensor, got a DTensor.*get_model_state_d"
        with pytest.raises(TypeError, match=message):
            model.save_pretrained(folder)
        assert not list(folder.iterdir())
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state = get_model_state_dict(model, options=options)
        if torch.distributed.get_rank() == 0:
            model.save_pretrained(folder / "sharded", state_dict=state)
            masked_lm().save_pretrained(folder / "whole")
            for file in ("config.json", "model.safetensors"):
                saved, expected = (folder / kind / file for kind in ("sharded", "whole"))
                assert saved.read_bytes() == expected.read_bytes(), file


@case
def a_model_made_without_memory_is_sharded_and_then_drawn() -> None:
    with torch.device("meta"):
        model = masked_lm()
    fully_shard(model, mesh=mesh(SIZE))
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.detach().to_local().fill_(7.0)
    model.reset_parameters()
    words = model.fnet.embeddings.word_embeddings.weight.full_tensor().detach()
    pad = model.config.pad_token_id
    assert not words[pad].any()
    for rows in (words[:pad], words[pad + 1 :], model.fnet.pooler.dense.weight.full_tensor()):
        assert 0.01 < rows.std() < 0.03


@case
def gradients_of_masked_language_modelling_are_averaged() -> None:
    """The pooler has none, so DistributedDataParallel must know of unused parameters."""
    local = masked_lm()
    local(IDS, labels=IDS).loss.backward()
    own = IDS[torch.distributed.get_rank()][None]
    for option in ("find_unused_parameters", "static_graph"):
        model = DistributedDataParallel(masked_lm(), **{option: True})
        for _ in range(2):
            model.zero_grad()
            model(own, labels=own).loss.backward()
            for (name, expected), parameter in zip(
                local.named_parameters(), model.parameters(), strict=True
            ):
                if expected.grad is None:
                    assert name.startswith("fnet.pooler."), name
                else:
                    assert parameter.grad is not None, name
                    assert relative_error(parameter.grad, expected.grad) < 1e-4, name
