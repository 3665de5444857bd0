"""Runs the functions of a module in four processes that form one group; says what failed."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist

from python_tests.helpers.paths import ROOT

SIZE = 4


def run(module: str) -> dict[str, str]:
    """By name of a function in `CASES` of `module`: what it raised, of all ranks; "" if nothing.

    Imports take longest: all run in the same processes, forks of one that has imported `module`.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __name__, module, folder]
        parent = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        try:
            assert parent.wait(timeout=500) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
        return json.loads(Path(folder, "failures").read_text())


def _run_all(module: str, folder: str) -> int:
    """Fork all ranks. Returns the number of those that failed."""
    torch.set_num_threads(1)  # a fork has no threads of a pool
    importlib.import_module(module)
    ranks = []
    for rank in range(SIZE):
        ranks.append(os.fork())
        if not ranks[-1]:
            _run_rank(module, folder, rank)
    return sum(os.waitpid(rank, 0)[1] != 0 for rank in ranks)


def _run_rank(module: str, folder: str, rank: int) -> NoReturn:
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
    sys.exit(_run_all(*sys.argv[1:]))
