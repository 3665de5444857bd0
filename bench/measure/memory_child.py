"""The child process that measures peak memory. `memory.py` starts one process per task.

It reads a task as JSON from its argument and prints the result as one line of JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from bench.contestants import models
from bench.contestants.blocks import PRE_NORM
from bench.contestants.mixers import MIXERS
from bench.contestants.registry import CONTESTANTS, LAYERS, ours
from bench.contestants.setting import Setting
from bench.contestants.transforms import formula
from bench.measure.memory import cases, peak
from bench.measure.pages import pages
from bench.measure.timing import Problem, prepared, ready
from bench.shapes import TARGET_SHAPES, label
from fnet_kernels._sizes import SIZES


def _targets(task: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Extra bytes over the bytes of x in fp32, by shape and case."""
    fused = ours(torch.ops.fnet_kernels.cpu_isa()).make(Setting(TARGET_SHAPES[0]))
    found: dict[str, dict[str, float]] = {}
    for shape in TARGET_SHAPES:
        row = found[label(shape)] = {}
        unit = torch.Size(shape).numel() * 4
        for dtype in (torch.float32, torch.bfloat16):
            # Run one sequence first, to create code, thread stacks and tables of this length.
            for warm, size in ((True, (1, *shape[1:])), (False, shape)):
                problem = Problem.random(size, dtype)
                functions = {"ours": fused, "ours pre-norm": PRE_NORM.ours, "formula": formula}
                for name, function in functions.items():
                    if dtype == torch.bfloat16 and name == "formula":
                        continue  # torch.fft has no bfloat16
                    sizes = cases(problem, function)
                    if not warm:
                        kind = str(dtype).removeprefix("torch.")
                        row |= {f"{name} {kind} {k}": v / unit for k, v in sizes.items()}
    return found


def _peaks(task: dict[str, Any]) -> dict[str, int]:
    """Peak bytes of each contestant of the task.

    The first call of each is not counted, because it creates plans, matrices and tables.
    """
    problem = Problem.random(tuple(task["shape"]), getattr(torch, task["dtype"]))
    wanted = [c for c in (*CONTESTANTS, *LAYERS, *MIXERS) if c.name in task["names"]]
    entries, _ = ready(wanted, problem, backward=task["direction"] != "forward")
    found = {}
    for name, (contestant, function) in entries.items():
        call = problem.calls(task["direction"])(function)
        before = prepared(contestant, call)
        try:
            for _ in range(2):
                before()
                found[name] = peak(call)
        except Exception:  # such as out of memory; `study` lists missing contestants
            found.pop(name, None)
    return found


def _model(task: dict[str, Any]) -> int:
    """Peak bytes of one task of a whole model: see contestants/models.py."""
    contestant = models.Contestant(task["model"], getattr(torch, task["dtype"]))
    sizes = SIZES[task["size"]]
    call = models.prepare(contestant, task["task"], sizes, task["batch"], task["seq"], "cpu")
    return peak(call)


def main() -> None:
    """Run the task."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    if not pages("returned"):
        raise SystemExit("this C library has no mallopt to make malloc return freed memory")
    found = {"targets": _targets, "peaks": _peaks, "model": _model}[task["what"]](task)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
