"""Peak extra memory of one call, from the system's own count of resident pages.

`measure` starts a fresh process (this file) and returns what it prints. In it malloc gives every
block back when it is freed, so resident memory is what is held, whoever allocated it: torch, MKL
or us. The high-water mark is reset before each call (Linux: 5 to /proc/self/clear_refs). What the
call hands out, and what autograd holds for backward, is found by dropping its result:

    extra = (peak during the call) - (resident before) - (what is freed when the result is dropped)

Tables and workspaces that an op keeps for itself are therefore counted as extra.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROC = Path("/proc/self")


def _kib(field: str) -> int:
    """A size of this process: VmRSS (resident now) or VmHWM (the most since the reset)."""
    lines = (_PROC / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1])


def extra(call: Callable[[], Any]) -> int:
    """Bytes that one run of `call` needs at its peak beyond what its result holds."""
    (_PROC / "clear_refs").write_text("5")
    start = _kib("VmRSS")
    result = call()
    peak = _kib("VmHWM")
    held = _kib("VmRSS")
    del result
    held -= _kib("VmRSS")
    return (peak - start - held) * 1024


def _main() -> dict[str, dict[str, float]]:
    """Extra memory over the bytes of x in fp32, per shape and case."""
    import torch
    from contestants import formula, ours
    from shapes import BARS, label
    from timing import Problem, pages

    torch.set_num_threads(int(sys.argv[1]))
    if not pages("returned"):
        raise SystemExit("malloc here cannot be told to give memory back")
    fused = ours(torch.ops.fnet_kernels.cpu_isa()).make()
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
                    sizes = _cases(problem, function)
                    if not warm:
                        kind = str(dtype).removeprefix("torch.")
                        row |= {f"{name} {kind} {k}": v / unit for k, v in sizes.items()}
    return found


def _cases(problem: Any, function: Any) -> dict[str, int]:
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
    if not (_PROC / "clear_refs").exists():
        return "peak memory is read from /proc/self, as Linux has it"
    child = subprocess.run(
        [sys.executable, __file__, str(threads)], capture_output=True, text=True, check=False
    )
    if child.returncode != 0:
        return (child.stderr.strip() or "no output").splitlines()[-1]
    result: dict[str, dict[str, float]] = json.loads(child.stdout)
    return result


if __name__ == "__main__":
    print(json.dumps(_main()))
