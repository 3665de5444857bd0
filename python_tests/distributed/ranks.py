"""Runs the functions of a module in four processes that form one group; says what failed."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import torch
import torch.distributed as dist

from python_tests.helpers.paths import ROOT

SIZE = 4


def run(module: str) -> dict[str, str]:
    """By name of a function in `CASES` of `module`: what it raised, of all ranks; "" if nothing.

    All run in the same processes, whose start takes longest.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __name__, module, folder]
        ranks = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(SIZE)]
        try:
            assert [rank.wait(timeout=500) for rank in ranks] == [0] * SIZE
        finally:
            for rank in ranks:
                rank.kill()
        return json.loads(Path(folder, "failures").read_text())


def _run_rank(module: str, folder: str, rank: int) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(Path(folder, "store")), SIZE)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=SIZE)
    failures = {}
    for name, case in importlib.import_module(module).CASES.items():
        torch.manual_seed(0)
        failure = ""
        try:
            case()
        except Exception:
            failure = f"rank {rank}: {traceback.format_exc()}"
        of_ranks = [""] * SIZE
        dist.all_gather_object(of_ranks, failure)
        failures[name] = "\n".join(filter(None, of_ranks))
    if rank == 0:
        Path(folder, "failures").write_text(json.dumps(failures))
    dist.barrier()
    os._exit(0)  # without the destructors of gloo, which sometimes abort


if __name__ == "__main__":
    _run_rank(sys.argv[1], sys.argv[2], int(sys.argv[3]))
