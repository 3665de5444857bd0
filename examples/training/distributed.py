"""Several processes on one data set, as `torchrun` starts them.

defines: agree, gather, is_first, of_first, on_device, processes, rank, together, wrap
"""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import nn


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    return rank() == 0


@contextmanager
def together(name: str | None) -> Iterator[torch.device]:
    """Join the processes that `torchrun` started, if it did, and give the device of this one.

    Args:
        name: device; None for a GPU where one is, and else the CPU.
    """
    device = on_device(name)
    if "WORLD_SIZE" not in os.environ:
        yield device
        return
    import_module("torch.distributed.nn.functional")  # after it, its defaults would hold the group
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
        gather(None)  # none ends before the first has written all: torchrun would end that, too
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # they hold the wrapped model
        raise
    finally:
        # Nothing may hold the group longer. gloo's threads take the interpreter's lock to drop the
        # tensors of a transfer. A wrapped model that is freed later joins these threads while it
        # holds the lock, so the process never ends. A thread that outlives the interpreter aborts.
        gc.collect()  # a Trainer may be in a cycle
        dist.destroy_process_group()


def on_device(name: str | None) -> torch.device:
    """The device of this process; of several GPUs each process takes its own."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise SystemExit(f"--device must be cpu, cuda or cuda:N; got {name!r}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"--device {name}: this torch finds no GPU")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    return device


def wrap(model: nn.Module) -> nn.Module:
    """The model, whose gradients are averaged over the processes."""
    if processes() == 1:
        return model
    return nn.parallel.DistributedDataParallel(model)


def agree(stop: bool, seconds: float) -> tuple[bool, float]:
    """Whether any process stops, and the seconds of the first."""
    if processes() == 1:
        return stop, seconds
    both = torch.tensor([float(stop), seconds if is_first() else 0.0], dtype=torch.float64)
    dist.all_reduce(both)
    return bool(both[0]), float(both[1])


def gather(value: Any) -> list[Any]:
    """The values of all processes."""
    values = [value] * processes()
    if processes() > 1:
        dist.all_gather_object(values, value)
    return values


def of_first(value: Any) -> Any:
    """The value of the first process, in all of them."""
    return gather(value)[0]
