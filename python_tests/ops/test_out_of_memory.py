"""Lack of memory is told in torch's words, so that programs that look for them try a smaller batch.

Every allocation of an op fails once, in a process of its own; and no message has a path in it.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

import fnet_kernels
from fnet_kernels import functional
from fnet_kernels._ops import derivatives
from python_tests.helpers.general_path import on_the_general_path
from python_tests.helpers.paths import ROOT
from python_tests.helpers.symbols import COMPILER

WORDS = "DefaultCPUAllocator: can't allocate memory"
ops = torch.ops.fnet_kernels


@pytest.mark.parametrize("path", [nullcontext, on_the_general_path], ids=["kernels", "general"])
@pytest.mark.parametrize(
    "call",
    [
        fnet_kernels.fourier_mix,
        fnet_kernels.fused_fourier_mix,
        lambda x: ops.fused_fourier_mix_train(x, None, None, 1e-5, 1.0),
        lambda x: fnet_kernels.fourier_mix(x.mT),
    ],
    ids=["mix", "fused", "train", "strided"],
)
def test_too_large_a_result_is_out_of_memory(
    call: Callable[[torch.Tensor], Any], path: Callable[[], Any]
) -> None:
    huge = torch.ones(1).expand(1 << 29, 64, 64)  # costs nothing; the result takes terabytes
    with pytest.raises(RuntimeError) as stock:
        torch.nn.functional.layer_norm(huge, (64,))
    assert WORDS in str(stock.value), "stock torch's words have changed"
    with path(), pytest.raises(RuntimeError) as ours:
        call(huge)
    assert WORDS in ours.value.args[0]
    assert len(ours.value.args) == 1


x = torch.zeros(2, 4, 8)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.fourier_mix(x[0, 0], 1.0, False),
        lambda: ops.fourier_mix(x.long(), 1.0, False),
        lambda: ops.fused_fourier_mix(x, x[0, 0, :3], None, 1e-5, 1.0),
        lambda: ops.fused_fourier_mix(x, None, None, -1.0, 1.0),
        lambda: ops.fused_fourier_mix_train(x, None, x[0], 1e-5, 1.0),
        lambda: ops.fused_fourier_mix_backward(x, x, x[..., 0].double(), None, 1.0, True, True),
        lambda: ops.fused_fourier_mix_backward(x, x[0], x[..., 0], None, 1.0, True, True),
        lambda: ops.cpu_plan(1, 2, 3, torch.int32),
        lambda: ops.cpu_plan(2**62, 2**62, 8, torch.float32),
        lambda: ops.workspace_bytes(1, -4, 4, torch.float32),
        lambda: ops.set_cpu_isa("mmx"),
    ],
)
def test_no_message_has_a_path_of_the_build(call: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError) as error:
        call()
    message = str(error.value)
    assert "expected" in message
    assert not any(mark in message for mark in ("csrc", ".h:", ".cpp", str(ROOT))), message


CUDA_WORDS = "CUDA out of memory. Tried to allocate 20.00 MiB."


@pytest.mark.parametrize(
    ("fails_with", "expected"),
    [
        (RuntimeError(CUDA_WORDS), torch.OutOfMemoryError),
        (RuntimeError("another"), RuntimeError),
        (NotImplementedError(CUDA_WORDS), NotImplementedError),
    ],
)
def test_out_of_memory_on_cuda_has_torchs_class(
    monkeypatch: pytest.MonkeyPatch, fails_with: Exception, expected: type[Exception]
) -> None:
    """The kernels of CUDA raise a RuntimeError; a stand-in raises it here."""

    def fail(*args: Any) -> Any:
        raise fails_with

    class Failing:
        redispatch = staticmethod(fail)

    monkeypatch.setattr(derivatives, "call_boxed", fail)
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
    trained = x.clone().requires_grad_()
    for call in (
        lambda: fnet_kernels.fourier_mix(x),
        lambda: fnet_kernels.fused_fourier_mix(x),
        lambda: fnet_kernels.fourier_mix(trained),
        lambda: fnet_kernels.fused_fourier_mix(trained),
        lambda: derivatives._below(keys, Failing, x),
    ):
        with pytest.raises(RuntimeError, match=str(fails_with)) as error:
            call()
        assert type(error.value) is expected


@pytest.fixture(scope="module")
def failures() -> dict[str, dict[str, Any]]:
    """By case, what failing_alloc.py wrote."""
    if shutil.which(COMPILER[-1]) is None or not Path("/proc/self/status").exists():
        pytest.skip("needs a C++ compiler and /proc")
    program = ROOT / "python_tests" / "helpers" / "preload_failing_alloc.py"
    child = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr
    rows = [json.loads(line) for line in child.stdout.splitlines()]
    return {row["case"]: row for row in rows}


@pytest.mark.parametrize(
    "case",
    ["mix", "fused", "strided", "bfloat16", "general path", "step", "lengths, two threads"],
)
def test_every_allocation_may_fail(failures: dict[str, dict[str, Any]], case: str) -> None:
    found = failures[case]
    assert found["count"] >= 2, "the preloaded library counts nothing"
    # torch's own code around an op lets std::bad_alloc of a few bytes through, as a MemoryError
    # up to torch 2.14 and as a RuntimeError from 2.15 on.
    plain = {"MemoryError: std::bad_alloc", "RuntimeError: std::bad_alloc"}
    # In torch 2.11 the error of its FFT has no words, and ours names both causes.
    wordless = torch.__version__.startswith("2.11.") and case == "general path"
    for k, message in enumerate(found["raised"]):
        known = WORDS in message or message in plain
        known |= wordless and "Either memory is exhausted" in message
        assert known, f"allocation {k}: {message or 'nothing was raised'}"
    assert len(found["raised"]) > found["count"] / 2
    assert any(WORDS in message for message in found["raised"])
    assert all(found["good"]), "the call after a failed one must be right"
    assert found["left"] < 4096, f"{found['left']} KiB are left of 200 failed calls"


def test_a_failed_call_keeps_no_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its frame would hold them until the next garbage collection, in which a retry runs."""

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(functional.autograd, "fused_fourier_mix_plain", fail)
    x = torch.randn(2, 8, 16)
    alive = weakref.ref(x)
    gc.disable()
    try:
        with pytest.raises(torch.OutOfMemoryError, match="no memory") as caught:
            fnet_kernels.fused_fourier_mix(x)
        del x, caught
        assert alive() is None
    finally:
        gc.enable()
