"""A copy with non-temporal stores on all threads: the minimum time to read x and write y.

defines: STREAMING

torch's copy_ stores through the caches, so it also reads each line of y before writing it.
Non-temporal stores do not; our kernels use them as well. The copy is in fnet_core_bench, which
CMake builds (`make core`); without it the contestant is absent.
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
    """Like `Copy`; each thread copies a part of the bytes."""

    def __init__(self, setting: Setting) -> None:
        try:
            module = importlib.import_module("fnet_core_bench")
        except ImportError as error:
            raise Absent(
                "fnet_core_bench is not built or not on PYTHONPATH: `make core`"
            ) from error
        if not module.streams():
            raise Absent("this processor's kernels have no non-temporal stores")
        super().__init__(setting)
        self.copy = module.stream_copy
        self.threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(self.threads)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = next(self.outputs)
        lines = x.nbytes // _LINE
        ends = [_LINE * (lines * i // self.threads) for i in range(self.threads)] + [x.nbytes]

        def part(begin: int, end: int) -> None:
            self.copy(y.data_ptr() + begin, x.data_ptr() + begin, end - begin)

        for done in [self.pool.submit(partial(part, *ab)) for ab in itertools.pairwise(ends)]:
            done.result()
        return y


STREAMING = Contestant(
    "streaming copy", "floor", "copy with non-temporal stores", _Streaming, devices=("cpu",)
)
