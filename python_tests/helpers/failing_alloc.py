"""Program of test_out_of_memory.py: every allocation of every case fails once.

Its argument is the library of failing_alloc.cpp, which must be preloaded: run
preload_failing_alloc.py.

Prints one line of JSON per case: how many allocations it has, what each failure raised, whether the
next call was right, and how much resident memory many failures left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

import fnet_kernels
from fnet_kernels import reference
from python_tests.helpers.general_path import on_the_general_path

library = ctypes.CDLL(sys.argv[1])


def resident_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x).pow(3).sum(), x)[0]


def cases() -> Iterator[tuple[str, Callable[[Tensor], Tensor], Callable[[int], Tensor]]]:
    """Name, call, and an input of a length that the k-th call is the first to use."""

    def kernels(k: int) -> Tensor:
        return torch.randn(2, 2 * (k + 2), 3 * (k + 2))

    def general(x: Tensor) -> Tensor:
        with on_the_general_path():
            return fnet_kernels.fourier_mix(x)

    def step(x: Tensor) -> Tensor:
        return gradient(fnet_kernels.fused_fourier_mix, x)

    def two_threads(x: Tensor) -> Tensor:
        torch.set_num_threads(2)
        try:
            return fnet_kernels.fourier_mix(x, lengths=lengths_of(x))
        finally:
            torch.set_num_threads(1)

    yield "mix", fnet_kernels.fourier_mix, kernels
    yield "fused", fnet_kernels.fused_fourier_mix, kernels
    yield "strided", fnet_kernels.fourier_mix, lambda k: kernels(k).mT
    yield "bfloat16", fnet_kernels.fused_fourier_mix, lambda k: kernels(k).bfloat16()
    yield "general path", general, kernels
    yield "step", step, kernels
    # Large enough for two threads, which build the tables of their lengths.
    yield "lengths, two threads", two_threads, lambda k: torch.randn(4, 200 + 5 * k, 48)


def lengths_of(x: Tensor) -> list[int]:
    return [x.size(1) - i for i in range(x.size(0))]


def right(name: str, y: Tensor, x: Tensor) -> bool:
    double = x.detach().double()
    if name == "step":
        expected = gradient(reference.fused_fourier_mix, double)
    elif name == "lengths, two threads":
        expected = torch.zeros_like(double)
        for i, length in enumerate(lengths_of(x)):
            expected[i, :length] = reference.fourier_mix(double[i, :length])
    elif name in ("fused", "bfloat16"):
        expected = reference.fused_fourier_mix(double)
    else:
        expected = reference.fourier_mix(double)
    return torch.allclose(y.double(), expected, rtol=0.02, atol=0.02 * expected.abs().max().item())


def run(name: str, call: Callable[[Tensor], Tensor], make: Callable[[int], Tensor]) -> None:
    inputs = map(make, itertools.count(2))  # every call has a length of its own
    call(make(1))  # imports and thread pools, which are not ours
    x = next(inputs)
    library.fail_at(ctypes.c_long(-1))
    call(x)
    count = library.stop_counting()
    raised, good = [], []
    for k in range(count):
        x = next(inputs)
        library.fail_at(ctypes.c_long(k))
        try:
            call(x)
            message = ""
        except (RuntimeError, MemoryError) as error:
            message = f"{type(error).__name__}: {error}"
        if library.stop_counting() > k:  # a length may need fewer allocations than the first
            raised.append(message)
        good.append(right(name, call(x), x))
    large = make(50)
    call(large)
    before = resident_kib()
    for _ in range(200):
        library.fail_at(ctypes.c_long(0))
        with contextlib.suppress(RuntimeError, MemoryError):
            call(large)
        library.stop_counting()
    left = resident_kib() - before
    print(json.dumps({"case": name, "count": count, "raised": raised, "good": good, "left": left}))


torch.set_num_threads(1)
for case in cases():
    run(*case)
