"""docs/promises.md: what the library guarantees, how that is tested, and the last figures.

`python -m tools.guarantees` measures the figures on this machine and rewrites the table; it takes
about a minute. Counts come from the tests themselves, so a removed test shows.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import fnet_kernels
from bench.folders import RESULTS
from fnet_kernels import reference

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "promises.md"
BEGIN = "<!-- guarantees: begin; made by tools/guarantees.py, do not edit -->"
END = "<!-- guarantees: end -->"

SHAPES = [(3, 1, 5), (2, 96, 48), (4, 512, 768), (1, 2048, 64), (2, 197, 768), (8, 77, 100)]


@dataclass(frozen=True)
class Guarantee:
    """One row: a sentence, the tests that check it, and what returns the figures.

    Without a function, the figure is the number of tests.
    """

    sentence: str
    tests: tuple[str, ...]
    measure: Callable[[], str] | None = None

    def figures(self) -> str:
        return self.measure() if self.measure else collected(*self.tests)


def collected(*paths: str) -> str:
    """`85 tests`: how many pytest collects in these files or folders."""
    tests = [f"python_tests/{path}" for path in paths]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)(?:/\d+)? tests? collected", done.stdout)
    assert found is not None, done.stdout[-300:]
    return f"{found[1]} test{'s' if found[1] != '1' else ''}"


def accuracy() -> str:
    """Largest error over the largest value, forward and gradient, by dtype."""
    worst: dict[torch.dtype, float] = {}
    for shape in SHAPES:
        generator = torch.Generator().manual_seed(0)
        wide = torch.randn(shape, dtype=torch.float64, generator=generator)
        grad = torch.randn(shape, dtype=torch.float64, generator=generator)
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
            pair = []
            for module, to in ((fnet_kernels, dtype), (reference, torch.float64)):
                x = wide.to(dtype).to(to).requires_grad_()
                y = module.fused_fourier_mix(x, eps=1e-5)
                pair.append((y.detach(), *torch.autograd.grad(y, x, grad.to(dtype).to(to))))
            for ours, right in zip(*pair, strict=True):
                error = float((ours.double() - right).abs().max() / right.abs().max())
                worst[dtype] = max(worst.get(dtype, 0.0), error)
    parts = [f"{str(dtype).removeprefix('torch.')} {error:.0e}" for dtype, error in worst.items()]
    return f"largest error over the largest value: {', '.join(parts)}"


def memory() -> str:
    """The most that an op of ours needs beside its results, over the bytes of x in float32."""
    found = [
        value
        for file in RESULTS.glob("*-targets.json")
        for cases in json.loads(file.read_text())["memory"].values()
        for case, value in cases.items()
        if case.startswith("ours")
    ]
    return f"at most {max(found):.2f} of x in {len(found)} recorded cases"


def failed_allocations() -> str:
    """How many allocations the test made fail, one after the other."""
    program = ROOT / "python_tests" / "helpers" / "preload_failing_alloc.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return f"{sum(len(row['raised']) for row in rows)} allocations in {len(rows)} kinds of calls"


GUARANTEES = [
    Guarantee(
        "The error of results and gradients is at most twice that of `torch.fft`.",
        ("ops/test_accuracy.py",),
        accuracy,
    ),
    Guarantee(
        "Results are bitwise identical on any number of threads and in every run.",
        ("ops/test_determinism.py",),
    ),
    Guarantee(
        "Calls with random shapes, layouts, dtypes, threads and modes agree with float64.",
        ("ops/test_fuzz.py",),
        lambda: "300 calls in CI; `make fuzz` tries others for ten minutes",
    ),
    Guarantee(
        "On two threads, extra memory is at most half of x in float32 at the recorded shapes.",
        ("bench/test_bench_files.py", "ops/test_workspace.py"),
        memory,
    ),
    Guarantee(
        "Errors about bad input name the argument, the expected value and the actual value.",
        ("ops/test_inputs.py", "field/test_field_arguments.py", "field/test_field_tensors.py"),
    ),
    Guarantee(
        "Derivatives of every order and mode are right, eager, compiled and exported.",
        ("ops/test_autograd.py", "field/test_field_derivatives.py", "field/test_field_export.py"),
    ),
    Guarantee(
        "Running out of memory at any allocation raises torch's own error; the next call is right.",
        ("ops/test_out_of_memory.py",),
        failed_allocations,
    ),
    Guarantee(
        "Ctrl-C in a call leaves a usable process.",
        ("ops/test_interrupt.py",),
    ),
    Guarantee(
        "Memory kept between calls is bounded, and `clear_caches` frees it.",
        ("ops/test_clear_caches.py",),
    ),
    Guarantee(
        "A patched transformers model agrees with the stock one in all eight classes.",
        ("hf/test_hf.py", "field/test_field_hf_norm.py", "field/test_field_hf_training.py"),
    ),
    Guarantee(
        'With `padding="exact"` the result of a sequence does not depend on its batch.',
        ("models/test_model_padding.py", "hf/test_hf_padding.py", "varlen/test_varlen.py"),
    ),
    Guarantee(
        "In onnxruntime an exported model agrees, in float32 within 1e-5 of the largest value.",
        ("onnx_export/test_onnx_export.py",),
    ),
    Guarantee(
        "Sharded batches need no communication, forward or backward.",
        ("distributed/test_dtensor.py",),
    ),
    Guarantee(
        "Errors name a clone without a build, a wrong library and a wrong instruction set.",
        (
            "install/test_clone.py",
            "install/test_packaging.py",
            "ops/test_isa.py",
            "cli/test_cli.py",
        ),
    ),
    Guarantee(
        "The library unpickles tensors alone and starts no process; it opens a connection only for"
        " a hub name.",
        ("install/test_security.py",),
    ),
]

#: Kept by other commands than pytest; CI runs them all.
OTHERS = """
CI also runs a part of `make sanitize` (the core under AddressSanitizer and
UndefinedBehaviorSanitizer), `make thread-check` (eight threads in the core at once under
ThreadSanitizer) and `make arm-check` (the core's tests on an emulated Arm processor).
"""


def table() -> str:
    """The generated part of the page."""
    rows = ["| guarantee | tests | last figures |", "| --- | --- | --- |"]
    for row in GUARANTEES:
        tests = ", ".join(f"`python_tests/{name}`" for name in row.tests)
        print(row.sentence, flush=True)
        rows.append(f"| {row.sentence} | {tests} | {row.figures()} |")
    today = datetime.date.today().isoformat()
    machine = f"{platform.machine()}, {torch.ops.fnet_kernels.cpu_isa()} kernels"
    return "\n".join([*rows, "", f"Figures of {today}, {machine}, torch {torch.__version__}."])


def main() -> None:
    """Measure and rewrite the page."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{table()}\n{OTHERS}{END}{tail}")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
