"""FSDP2 and ZeRO-3 shard a patched model: each norm, each layer, the whole (verl PR #7427)."""

from __future__ import annotations

import copy
import os
import socket
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from fnet_kernels import hf
from python_tests.helpers.fnet_models import FusedCalls, agree, batch, build, results
from python_tests.helpers.forks import Forks

pytest.importorskip("transformers")

PROCESSES = 2


def parts(model: nn.Module, what: str) -> list[nn.Module]:
    """The modules that a program shards one by one."""
    layers = list(model.encoder.layer)
    return {
        "norms": [m for m in model.modules() if isinstance(m, nn.LayerNorm)],
        "fourier": [layer.fourier for layer in layers],
        "layers": layers,
        "whole": [],
    }[what]


def check(what: str) -> None:
    """A sharded model gives what stock gives, forward and backward, and after a step."""
    stock = build(hidden_dropout_prob=0.0).train()
    sharded = copy.deepcopy(stock)
    hf.patch_fnet(sharded)
    mesh = init_device_mesh("cpu", (PROCESSES,))
    for module in [*parts(sharded, what), sharded]:
        fully_shard(module, mesh=mesh)
    assert all(isinstance(p, DTensor) for p in sharded.parameters())

    optimizers = [torch.optim.SGD(m.parameters(), lr=1e-2) for m in (stock, sharded)]
    for _ in range(2):
        with FusedCalls() as calls:
            ours = results(sharded, **batch())
        expected = results(stock, **batch())
        assert calls.count == (0 if what == "norms" else 2)
        agree(ours, expected, 1e-5)
        for outputs in (ours, expected):
            sum(t.square().mean() for t in outputs).backward()
        grads = {
            n: p.grad.full_tensor() for n, p in sharded.named_parameters() if p.grad is not None
        }
        true = {n: p.grad for n, p in stock.named_parameters() if p.grad is not None}
        assert grads.keys() == true.keys()
        scale = max(float(g.abs().max()) for g in true.values())
        for name, grad in true.items():
            assert float((grads[name] - grad).abs().max()) <= 1e-4 * scale, name
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def run(rank: int, store: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=PROCESSES
    )
    for what in ("norms", "fourier", "layers", "whole"):
        try:
            check(what)
        except Exception as error:
            raise AssertionError(f"sharded: {what}") from error
    distributed.destroy_process_group()


#: Forks of one process share its imports; a process with threads must not fork.
RANKS = """
import sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from test_field_hf_sharding import PROCESSES, multiprocessing, run
multiprocessing.start_processes(run, sys.argv[2:], nprocs=PROCESSES, start_method="fork")
"""


def test_fully_shard(forks: Forks, tmp_path: Path) -> None:
    done = forks.run(RANKS, str(Path(__file__).parent), str(tmp_path / "store"))
    assert done.returncode == 0, done.stderr


def test_unpatch_says_that_a_layer_is_sharded(tmp_path: Path) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    try:
        model = build()
        hf.patch_fnet(model)
        fully_shard(model.encoder.layer[0].fourier, mesh=init_device_mesh("cpu", (1,)))
        assert len(hf.patch_fnet(model).unchanged) == 2
        with pytest.warns(UserWarning, match="its class is FSDP"):
            report = hf.unpatch_fnet(model)
        assert report.changed == ("encoder.layer.1.fourier",)
    finally:
        distributed.destroy_process_group()


def train_with_deepspeed(_: int, port: int) -> None:
    """ZeRO-3 leaves each parameter empty, except while a hook of its module has gathered it."""
    import deepspeed

    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "DS_ACCELERATOR": "cpu"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    stock = build(hidden_dropout_prob=0.0).train()
    model = copy.deepcopy(stock)
    hf.patch_fnet(model)
    optimizers = [torch.optim.SGD(m.parameters(), lr=1e-2) for m in (stock, model)]
    deepspeed.init_distributed("gloo")
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizers[1],
        config={
            "train_micro_batch_size_per_gpu": 2,
            "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
        },
    )
    assert not model.encoder.layer[0].fourier.output.LayerNorm.weight.numel()
    for _ in range(3):
        ours = engine(**batch()).last_hidden_state
        truth = stock(**batch()).last_hidden_state
        agree([ours], [truth], 1e-5)
        engine.backward(ours.square().mean())
        engine.step()
        truth.square().mean().backward()
        optimizers[0].step()
        optimizers[0].zero_grad()


def test_zero_3() -> None:
    pytest.importorskip("deepspeed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(train_with_deepspeed, (port,), nprocs=1)
