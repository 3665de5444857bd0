"""A copy with streaming stores on all threads: the least that reading x and writing y can take.

defines: STREAMING

torch's copy_ stores by way of the caches, and so reads each line of y before it writes it. Stores
past the caches do not: our kernels use them, and so does this copy. From fnet_core_bench, which
CMake builds (`make core`); absent without it.
"""

from __future__ import annotations

import importlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from bench.contestants.registry import Contestant
from bench.contestants.setting import Absent, Setting
from bench.contestants.transforms import Copy

_LINE = 64  # bytes


class _Streaming(Copy):
    """As `Copy`, each thread its part of the bytes."""

    def __init__(self, setting: Setting) -> None:
        try:
            module = importlib.import_module("fnet_core_bench")
        except ImportError as error:
            raise Absent("fnet_core_bench is not built: `make core`, PYTHONPATH") from error
        if not module.streams():
            raise Absent("this processor's kernels have no streaming stores")
        super().__init__(setting)
        self.copy = module.stream_copy
        self.threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(self.threads)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = next(self.turn)
        lines = x.nbytes // _LINE
        ends = [_LINE * (lines * i // self.threads) for i in range(self.threads)] + [x.nbytes]

        def part(begin: int, end: int) -> None:
            self.copy(y.data_ptr() + begin, x.data_ptr() + begin, end - begin)

        for done in [self.pool.submit(partial(part, *ab)) for ab in itertools.pairwise(ends)]:
            done.result()
        return y


STREAMING = Contestant(
    "streaming copy", "floor", "copy with stores past the caches", _Streaming, devices=("cpu",)
)
