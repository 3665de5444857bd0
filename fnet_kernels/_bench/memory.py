"""Peak memory of one call, from the system's own count of resident pages.

defines: extra, peak, cases, measure, peaks, model_peaks

`measure` and `peaks` start a fresh process (this file) and return what it prints. In it malloc
gives every block back when it is freed, so resident memory is what is held, whoever allocated it:
torch, MKL or us. The high-water mark is reset before each call (Linux: 5 to
/proc/self/clear_refs). What the call hands out, and what autograd holds for backward, is found by
dropping its result:

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

from fnet_kernels._bench.pages import HUGE_PAGES

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


def _bars(task: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Extra memory over the bytes of x in fp32, per shape and case."""
    import torch

    from fnet_kernels._bench.contestants import ours
    from fnet_kernels._bench.setting import Setting
    from fnet_kernels._bench.shapes import BARS, label
    from fnet_kernels._bench.timing import Problem
    from fnet_kernels._bench.transforms import formula

    fused = ours(torch.ops.fnet_kernels.cpu_isa()).make(Setting(BARS[0]))
    found: dict[str, dict[str, float]] = {}
    for shape in BARS:
        row = found[label(shape)] = {}
        unit = torch.Size(shape).numel() * 4
        for dtype in (torch.float32, torch.bfloat16):
            # One sequence first: code, thread stacks and tables of this length are then in place.
            for warm, size in ((True, (1, *shape[1:])), (False, shape)):
                problem = Problem.random(size, dtype)
                for name, function in {"ours": fused, "formula": formula}.items():
                    if dtype == torch.bfloat16 and name == "formula":
                        continue  # torch.fft has no bfloat16
                    sizes = cases(problem, function)
                    if not warm:
                        kind = str(dtype).removeprefix("torch.")
                        row |= {f"{name} {kind} {k}": v / unit for k, v in sizes.items()}
    return found


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


def _peaks(task: dict[str, Any]) -> dict[str, int]:
    """Peak bytes of the task's contestants in its pass, each after one call that counts for
    nothing: plans, matrices and tables are then in place."""
    import torch

    from fnet_kernels._bench.contestants import CONTESTANTS, LAYERS
    from fnet_kernels._bench.timing import Problem, prepared, ready

    problem = Problem.random(tuple(task["shape"]), getattr(torch, task["dtype"]))
    wanted = [c for c in (*CONTESTANTS, *LAYERS) if c.name in task["names"]]
    entries, _ = ready(wanted, problem, backward=task["direction"] != "forward")
    found = {}
    for name, (contestant, function) in entries.items():
        call = problem.calls(task["direction"])(function)
        before = prepared(contestant, call)
        try:
            for _ in range(2):
                before()
                found[name] = peak(call)
        except Exception:  # out of memory: `study` names who is missing
            found.pop(name, None)
    return found


def _models(task: dict[str, Any]) -> dict[str, int]:
    """Peak bytes of a whole model: see models.py."""
    import torch

    from fnet_kernels._bench import models

    dtype = getattr(torch, task["dtype"])
    calls = models.calls(task["name"], task["batch"], task["seq"], "cpu", dtype)
    return {name: peak(call) for name, call in calls.items()}


def measure(threads: int) -> dict[str, dict[str, float]] | str:
    """`{shape: {case: extra bytes / bytes of x in fp32}}`, or the reason why there is none."""
    found: dict[str, dict[str, float]] | str = _child({"what": "bars", "threads": threads})
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
        [sys.executable, "-m", "fnet_kernels._bench.memory", json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, HUGE_PAGES: "0"},
    )
    if child.returncode != 0:
        return (child.stderr.strip() or "no output").splitlines()[-1]
    return json.loads(child.stdout.splitlines()[-1])


def main() -> None:
    """The child's part: one task, as JSON, in; one line of JSON out."""
    import torch

    from fnet_kernels._bench.pages import pages

    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    if not pages("returned"):
        raise SystemExit("malloc here cannot be told to give memory back")
    found = {"bars": _bars, "peaks": _peaks, "models": _models}[task["what"]](task)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
