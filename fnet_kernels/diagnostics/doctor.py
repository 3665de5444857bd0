"""`python -m fnet_kernels doctor`: what is installed, what runs, and whether it is right.

Nothing of this library or of torch is imported before the check that is about it, so that the
doctor also speaks where an import fails.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fnet_kernels.diagnostics.tolerances import OURS

OLDEST_TORCH = (2, 11)
#: Shapes by path: the kernels, and torch.fft.
SHAPES = {
    "cpu": (("kernels", (2, 96, 48)), ("general", (2, 37, 48))),
    "cuda": (("kernels", (2, 128, 64)), ("general", (2, 37, 48))),
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; `cure` is set where something is broken."""

    name: str
    detail: str
    cure: str | None = None

    def __str__(self) -> str:
        line = f"[{'ok' if self.cure is None else 'BROKEN'}] {self.name}: {self.detail}"
        return line if self.cure is None else f"{line}\n     cure: {self.cure}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The doctor takes no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the report. Returns 1 when something is broken, else 0."""
    broken = 0
    for finding in examine():
        print(finding)
        broken += finding.cure is not None
    print(f"{broken} broken" if broken else "all is well")
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """The findings, in an order in which each rests on those before; stops where that breaks."""
    from fnet_kernels import __version__

    yield Finding("fnet_kernels", f"{__version__}, Python {platform.python_version()}")
    for check in (_torch, _extension):
        finding = check()
        yield finding
        if finding.cure is not None:
            return
    yield from _devices()
    yield from _self_checks()
    yield _transformers()


def _torch() -> Finding:
    cure = "run `pip install 'torch>={}.{}'`".format(*OLDEST_TORCH)
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of its own is missing
        return Finding("torch", f"does not import ({error})", cure)
    major, minor = torch.__version__.split(".")[:2]
    if (int(major), int(minor)) < OLDEST_TORCH:
        return Finding("torch", f"{torch.__version__} is too old", cure)
    return Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")


def _extension() -> Finding:
    try:
        from fnet_kernels._ops.load import extension
    except ImportError as error:
        reason, _, cure = str(error).partition("; ")
        return Finding("extension", reason, cure)
    return Finding("extension", f"{extension.__file__}")


def _devices() -> Iterator[Finding]:
    import torch

    from fnet_kernels._ops.load import NO_CUDA, REBUILD_CUDA, operators

    best, used = operators.cpu_isas(), operators.cpu_isa()
    wish = os.environ.get("FNET_CPU_ISA", used)
    known = wish in ("auto", *best.split(","))
    yield Finding(
        "cpu",
        f"{platform.machine()}, kernels for {best}; in use: {used}"
        + ("" if known else f"; FNET_CPU_ISA={wish}"),
        None if known else f"set FNET_CPU_ISA to auto or one of {best}, or unset it",
    )
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        capability = "{}.{}".format(*torch.cuda.get_device_capability())
        here = f"{name}, compute capability {capability}, CUDA {torch.version.cuda}"
        broken = "do not load" in NO_CUDA  # to have built none is no fault
        yield Finding(
            "cuda", f"{here}; {NO_CUDA}" if NO_CUDA else here, REBUILD_CUDA if broken else None
        )
    elif torch.version.cuda:
        yield Finding("cuda", f"no GPU here; {NO_CUDA or 'the CUDA kernels load'}")
    else:
        yield Finding("cuda", NO_CUDA)


def _self_checks() -> Iterator[Finding]:
    """Forward and backward against the reference in float64, for each device, path and dtype."""
    import torch

    from fnet_kernels._ops.load import DEVICES

    for device in DEVICES:
        if device == "cuda" and not torch.cuda.is_available():
            continue
        for path, shape in SHAPES[device]:
            yield _self_check(device, path, shape)


def _self_check(device: str, path: str, shape: tuple[int, ...]) -> Finding:
    from fnet_kernels import explain

    name = f"{path} path" if device == "cpu" else f"{path} path on {device}"
    try:
        taken = explain(shape, device=device).path
        if taken != path:
            return Finding(name, f"{shape} takes the path '{taken}'", "report this with the output")
        errors = {dtype: _worst_error(shape, dtype, device) for dtype in OURS}
    except RuntimeError as error:  # a kernel that is not there for this GPU, cuFFT that is missing
        return Finding(name, f"does not run ({str(error).splitlines()[0]})", _library_cure())
    wrong = [dtype for dtype, error in errors.items() if not error <= OURS[dtype]]
    detail = "largest error " + ", ".join(f"{d} {error:.0e}" for d, error in errors.items())
    if wrong:
        return Finding(name, f"{detail}; wrong in {', '.join(wrong)}", _library_cure())
    return Finding(name, detail)


def _library_cure() -> str:
    from fnet_kernels._ops.load import REBUILD

    return f"{REBUILD}; if that does not help, report it with this output"


def _worst_error(shape: tuple[int, ...], dtype_name: str, device: str) -> float:
    """Largest error of y and of the gradients, each relative to the largest true value."""
    import torch

    from fnet_kernels import functional, reference

    dtype = getattr(torch, dtype_name)
    generator = torch.Generator().manual_seed(0)
    hidden = shape[-1]
    x, weight, bias, grad = (
        torch.randn(size, generator=generator).to(device, dtype)
        for size in (shape, (hidden,), (hidden,), shape)
    )

    def results(mix: Callable[..., torch.Tensor], to: torch.dtype) -> list[torch.Tensor]:
        inputs = [t.to(to).requires_grad_() for t in (x, weight, bias)]
        y = mix(*inputs)
        return [y.detach(), *torch.autograd.grad(y, inputs, grad.to(to))]

    ours = results(functional.fused_fourier_mix, dtype)
    truth = results(reference.fused_fourier_mix, torch.float64)
    errors = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, truth, strict=True)]
    return max(errors, key=lambda error: float("inf") if error != error else error)  # NaN is worst


def _transformers() -> Finding:
    try:
        version = importlib.import_module("transformers").__version__
        importlib.import_module("fnet_kernels.hf._layer")
    except ImportError as error:
        return Finding("transformers", f"not usable, so neither is fnet_kernels.hf ({error})")
    return Finding("transformers", f"{version}, hf.patch_fnet is available")
