"""Peak memory of one call, from the system's own count of resident pages.

defines: extra, peak, cases, measure, peaks, model_peaks

`measure`, `peaks` and `model_peaks` start a fresh process (memory_child.py) and return what it
prints. In that process malloc gives every block back when it is freed, so resident memory is what
is held, whoever allocated it: torch, MKL or us. The high-water mark is reset before each call
(Linux: 5 to /proc/self/clear_refs). What the call hands out, and what autograd holds for backward,
is found by dropping its result:

    extra = (peak during the call) - (resident before) - (what is freed when the result is dropped)

Tables and workspaces that an op keeps for itself are therefore counted as extra. Each call has a
thread of its own, and so has no workspace that an earlier call has left behind. torch's allocator
asks for no huge pages here: they would round what is held up to 2 MB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.measure.pages import HUGE_PAGES

_PROC = Path("/proc/self")


def _kib(field: str) -> int:
    """A size of this process: VmRSS (resident now) or VmHWM (the most since the reset)."""
    lines = (_PROC / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1])


def _in_new_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def extra(call: Callable[[], Any]) -> int:
    """Bytes that one run of `call` needs at its peak beyond what its result holds."""
    (_PROC / "clear_refs").write_text("5")
    start = _kib("VmRSS")
    result = _in_new_thread(call)
    peak = _kib("VmHWM")
    held = _kib("VmRSS")
    del result
    held -= _kib("VmRSS")
    return (peak - start - held) * 1024


def peak(call: Callable[[], Any]) -> int:
    """Bytes that one run of `call` needs at its peak, its result included."""
    (_PROC / "clear_refs").write_text("5")
    start = _kib("VmRSS")
    result = _in_new_thread(call)
    most = _kib("VmHWM")
    del result
    return (most - start) * 1024


def cases(
    problem: Any, function: Any, extra: Callable[[Callable[[], Any]], int] = extra
) -> dict[str, int]:
    """Inference; the forward of training (its result holds what backward saved); the backward."""
    import torch

    leaves = [t.requires_grad_() for t in (problem.x, problem.weight, problem.bias)]
    sizes = {"forward": extra(problem.forward(function))}
    sizes["training forward"] = extra(lambda: function(*leaves))
    y = function(*leaves)
    grad = torch.ones_like(y)
    sizes["backward"] = extra(lambda: torch.autograd.grad(y, leaves, grad, retain_graph=True))
    return sizes


def measure(threads: int) -> dict[str, dict[str, float]] | str:
    """`{shape: {case: extra bytes / bytes of x in fp32}}`, or the reason why there is none."""
    found: dict[str, dict[str, float]] | str = _child({"what": "targets", "threads": threads})
    return found


def peaks(
    shape: Sequence[int], dtype: str, direction: str, names: Sequence[str], threads: int
) -> dict[str, int] | str:
    """`{contestant: peak bytes of one call, result included}`, or the reason for none. CPU only."""
    task = {"shape": shape, "dtype": dtype, "direction": direction, "names": names}
    found: dict[str, int] | str = _child({"what": "peaks", "threads": threads, **task})
    return found


def model_peaks(name: str, batch: int, seq: int, dtype: Any, threads: int) -> dict[str, int] | str:
    """`{pass: peak bytes}` of a whole model of models.py, or the reason for none. CPU only."""
    kind = str(dtype).removeprefix("torch.")
    task = {"name": name, "batch": batch, "seq": seq, "dtype": kind}
    found: dict[str, int] | str = _child({"what": "models", "threads": threads, **task})
    return found


def _child(task: dict[str, Any]) -> Any:
    if not (_PROC / "clear_refs").exists():
        return "peak memory is read from /proc/self, as Linux has it"
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    child = subprocess.run(
        [sys.executable, "-m", "bench.measure.memory_child", json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, HUGE_PAGES: "0"},
    )
    if child.returncode != 0:
        return (child.stderr.strip() or "no output").splitlines()[-1]
    return json.loads(child.stdout.splitlines()[-1])
