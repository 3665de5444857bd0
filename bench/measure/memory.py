"""Peak memory of one call, from the resident memory that the system reports.

defines: extra, peak, cases, measure, peaks, model_peak, child

`measure`, `peaks` and `model_peak` start a child process (memory_child.py) and return its result.
In that process malloc returns every block to the system when it is freed, so resident memory is the
memory in use, whether torch, MKL or our operator allocated it. We reset the high-water mark before
each call (on Linux: write 5 to /proc/self/clear_refs). Dropping the result of a call shows how much
memory the result and the tensors saved for backward take:

    extra = (peak during the call) - (resident before) - (freed when the result is dropped)

Tables and workspaces that an operator keeps count as extra. Each call runs on a new thread, which
has no workspace from an earlier call. torch's allocator does not use huge pages in this process,
because they would round sizes up to 2 MB.
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
    """A field of /proc/self/status in KiB: VmRSS (resident) or VmHWM (peak since the reset)."""
    lines = (_PROC / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1])


def _in_new_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def extra(call: Callable[[], Any]) -> int:
    """Peak memory of one `call` in bytes, without the memory of its result."""
    (_PROC / "clear_refs").write_text("5")
    start = _kib("VmRSS")
    result = _in_new_thread(call)
    peak = _kib("VmHWM")
    after = _kib("VmRSS")
    del result
    freed = after - _kib("VmRSS")
    return (peak - start - freed) * 1024


def peak(call: Callable[[], Any]) -> int:
    """Peak memory of one `call` in bytes, including its result."""
    (_PROC / "clear_refs").write_text("5")
    start = _kib("VmRSS")
    result = _in_new_thread(call)
    highest = _kib("VmHWM")
    del result
    return (highest - start) * 1024


def cases(
    problem: Any, function: Any, extra: Callable[[Callable[[], Any]], int] = extra
) -> dict[str, int]:
    """Extra bytes of inference, of the training forward and of the backward pass.

    The result of the training forward includes the tensors saved for backward.
    """
    import torch

    leaves = [t.requires_grad_() for t in (problem.x, problem.weight, problem.bias)]
    sizes = {"forward": extra(problem.forward(function))}
    sizes["training forward"] = extra(lambda: function(*leaves))
    y = function(*leaves)
    grad = torch.ones_like(y)
    sizes["backward"] = extra(lambda: torch.autograd.grad(y, leaves, grad, retain_graph=True))
    return sizes


def measure(threads: int) -> dict[str, dict[str, float]] | str:
    """`{shape: {case: extra bytes / bytes of x in fp32}}`, or the reason for its absence."""
    found: dict[str, dict[str, float]] | str = child({"what": "targets", "threads": threads})
    return found


def peaks(
    shape: Sequence[int], dtype: str, direction: str, names: Sequence[str], threads: int
) -> dict[str, int] | str:
    """`{contestant: peak bytes, including the result}` on CPUs, or the reason for its absence."""
    task = {"shape": shape, "dtype": dtype, "direction": direction, "names": names}
    found: dict[str, int] | str = child({"what": "peaks", "threads": threads, **task})
    return found


def model_peak(task: dict[str, Any], threads: int) -> int | str:
    """Peak bytes of one task of a whole model, or the reason for none. CPU only.

    `task` holds model, dtype, size, task, batch and seq, as a row of measure/models.py does.
    """
    found: int | str = child({**task, "what": "model", "threads": threads})
    return found


def child(task: dict[str, Any], module: str = "bench.measure.memory_child") -> Any:
    """What `module` prints as JSON, given `task` as JSON; the reason, if it fails."""
    if not (_PROC / "clear_refs").exists():
        return "peak memory needs /proc/self/clear_refs of Linux"
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, HUGE_PAGES: "0"},
    )
    if done.returncode != 0:
        return (done.stderr.strip() or "no output").splitlines()[-1]
    return json.loads(done.stdout.splitlines()[-1])
