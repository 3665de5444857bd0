"""`python -m fnet_kernels doctor`: what is installed, what runs, whether results are correct.

Each check imports torch and parts of this library itself, so a failing import becomes a finding.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fnet_kernels.diagnostics.tolerances import OURS

OLDEST_TORCH = (2, 11)
OLDEST_GPU = (8, 0)
REPORT = "report this output as a bug"
#: By device type: pairs of an execution path and shapes that take it. On a CPU they need every
#: algorithm for prime factors, and the general path is forced.
SHAPES = {
    "cpu": {
        "kernels": ((2, 96, 48), (3, 1, 5), (2, 197, 47), (2, 167, 24), (1, 2, 1031)),
        "general": ((2, 96, 48), (3, 1, 5)),
    },
    "cuda": {"kernels": ((2, 128, 64),), "general": ((2, 37, 48), (3, 1, 5))},
}


@dataclass(frozen=True)
class Finding:
    """One check of the report. `fix` says how to repair what is broken, or is None."""

    name: str
    detail: str
    fix: str | None = None

    def __str__(self) -> str:
        line = f"[{'ok' if self.fix is None else 'BROKEN'}] {self.name}: {self.detail}"
        return line if self.fix is None else f"{line}\n     fix: {self.fix}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the doctor takes no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the report. Returns 1 if a check fails, else 0."""
    broken = 0
    for finding in examine():
        print(finding)
        broken += finding.fix is not None
    print(f"{broken} broken" if broken else "all checks passed")
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """Run the checks in order. Stops after a failure that later checks depend on."""
    from fnet_kernels import __version__

    yield Finding("fnet_kernels", f"{__version__}, Python {platform.python_version()}")
    for check in (_torch, _extension):
        finding = check()
        yield finding
        if finding.fix is not None:
            return
    yield from _devices()
    yield from _self_checks()
    yield _transformers()


def _torch() -> Finding:
    fix = "run `pip install 'torch>={}.{}'`".format(*OLDEST_TORCH)
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of torch is missing
        return Finding("torch", f"does not import ({error})", fix)
    major, minor = torch.__version__.split(".")[:2]
    if (int(major), int(minor)) < OLDEST_TORCH:
        return Finding("torch", f"{torch.__version__} is too old", fix)
    return Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")


def _extension() -> Finding:
    try:
        from fnet_kernels._ops.library import PACKAGE
        from fnet_kernels._ops.load import LIBRARIES
    except ImportError as error:
        reason, _, fix = str(error).partition("; ")
        return Finding("extension", reason, fix or REPORT)
    detail = str(LIBRARIES)
    if LIBRARIES.parent != PACKAGE:
        detail += f", of the installed package; {PACKAGE} has the same Python files and no build"
    return Finding("extension", detail)


def _devices() -> Iterator[Finding]:
    import torch

    from fnet_kernels._ops.load import CUDA_UNAVAILABLE_REASON, operators

    available, used = operators.cpu_isas(), operators.cpu_isa()
    requested = os.environ.get("FNET_CPU_ISA") or used  # empty means unset
    known = requested in ("auto", *available.split(","))
    yield Finding(
        "cpu",
        f"{platform.machine()}, kernels for {available}; in use: {used}"
        + ("" if known else f"; FNET_CPU_ISA={requested} is not available"),
        None if known else f"set FNET_CPU_ISA to auto or one of {available}, or unset it",
    )
    if torch.cuda.is_available():
        yield _gpu(CUDA_UNAVAILABLE_REASON)
    elif torch.version.cuda:
        yield Finding("cuda", f"no GPU found; {CUDA_UNAVAILABLE_REASON or 'the CUDA kernels load'}")
    else:
        yield Finding("cuda", CUDA_UNAVAILABLE_REASON)
    yield from _cuda_build()


def _gpu(reason: str) -> Finding:
    """The GPU of this machine, and `reason` if the CUDA kernels are unavailable."""
    import torch

    from fnet_kernels._ops.load import REBUILD_CUDA

    name = torch.cuda.get_device_name()
    capability = "{}.{}".format(*torch.cuda.get_device_capability())
    gpu = f"{name}, compute capability {capability}, CUDA {torch.version.cuda}"
    if _too_old():
        oldest = "{}.{}".format(*OLDEST_GPU)
        return Finding("cuda", f"{gpu}; the CUDA kernels need compute capability {oldest} or newer")
    if "do not load" in reason:
        return Finding("cuda", f"{gpu}; {reason}", REBUILD_CUDA)
    if reason:  # a build without CUDA kernels is not a failure
        reason = f"; {reason}: `FNET_CUDA=1 pip install .` builds them or says what prevents it"
    return Finding("cuda", gpu + reason)


def _cuda_build() -> Iterator[Finding]:
    """How the CUDA kernels were compiled, and what that means for this torch and this GPU."""
    import torch

    from fnet_kernels._ops.load import LIBRARIES
    from fnet_kernels.diagnostics.cuda_build import JIT_SECONDS, CudaBuild

    build = CudaBuild.read(LIBRARIES)
    if build is None or torch.version.cuda is None:
        return
    parts, fix = [str(build)], None
    if too_new := build.too_new(torch.version.cuda):
        parts.append(too_new)
    if torch.cuda.is_available() and not _too_old():
        capability = torch.cuda.get_device_capability()
        name = "{}.{}".format(*capability)
        if not build.has_kernels_for(capability):
            ptx = build.ptx_for(capability)
            if ptx is None:
                parts.append(f"nothing of it runs on compute capability {name}")
                fix = f"set TORCH_CUDA_ARCH_LIST={name} or unset it, and build again"
            else:
                parts.append(
                    f"no machine code for compute capability {name}: the first call with a dtype"
                    f" takes {JIT_SECONDS[0]} to {JIT_SECONDS[1]} s longer for each kernel, because"
                    f" the driver, which must support CUDA {build.nvcc}, compiles the PTX of {ptx};"
                    " it keeps the result in CUDA_CACHE_PATH (~/.nv/ComputeCache)."
                    f" A build with TORCH_CUDA_ARCH_LIST={name} avoids that"
                )
    yield Finding("cuda build", "; ".join(parts), fix)


def _too_old() -> bool:
    """Whether the GPU is older than all that the CUDA kernels are compiled for."""
    import torch

    return torch.cuda.get_device_capability() < OLDEST_GPU


def _self_checks() -> Iterator[Finding]:
    """Compare forward and backward with the float64 reference, per device, path and dtype."""
    import torch

    from fnet_kernels._ops.load import DEVICES

    for device in DEVICES:
        if device == "cuda" and (not torch.cuda.is_available() or _too_old()):
            continue
        for path, shapes in SHAPES[device].items():
            with _forced_on_cpu(device, path):
                finding = _self_check(device, path, shapes)
            yield finding


@contextmanager
def _forced_on_cpu(device: str, path: str) -> Iterator[None]:
    """Only lengths that take long would need a CPU's general path by themselves."""
    from fnet_kernels._ops.load import operators

    forced = (device, path) == ("cpu", "general")
    if forced:
        operators.set_cpu_path(path)
    try:
        yield
    finally:
        if forced:
            operators.set_cpu_path("auto")


def _self_check(device: str, path: str, shapes: Sequence[tuple[int, ...]]) -> Finding:
    from fnet_kernels import explain

    name = f"{path} path" if device == "cpu" else f"{path} path on {device}"
    named: list[str] = []  # stages with the name of an algorithm
    try:
        for shape in shapes:
            explanation = explain(shape, device=device)
            if explanation.path != path:
                return Finding(name, f"{shape} takes the path '{explanation.path}'", REPORT)
            stages = (explanation.seq_stages, explanation.hidden_stages)
            named += [text for text in stages if "(" in text]
        errors = {d: _worst(_worst_error(shape, d, device) for shape in shapes) for d in OURS}
    except RuntimeError as error:  # for example: no kernel image for this GPU
        return Finding(name, f"does not run ({str(error).splitlines()[0]})", _library_fix())
    wrong = [dtype for dtype, error in errors.items() if not error <= OURS[dtype]]
    detail = "largest error " + ", ".join(f"{d} {error:.0e}" for d, error in errors.items())
    if wrong:
        return Finding(name, f"{detail}; wrong in {', '.join(wrong)}", _library_fix())
    return Finding(name, "; ".join([detail, *named]))


def _library_fix() -> str:
    from fnet_kernels._ops.library import REBUILD

    return f"{REBUILD}; if that does not help, {REPORT}"


def _worst_error(shape: tuple[int, ...], dtype_name: str, device: str) -> float:
    """Largest error of y and the gradients, each relative to the largest reference value."""
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
    expected = results(reference.fused_fourier_mix, torch.float64)
    return _worst(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, expected, strict=True)
    )


def _worst(errors: Iterable[float]) -> float:
    """The largest error; NaN counts as infinite."""
    return max(errors, key=lambda error: float("inf") if error != error else error)


def _transformers() -> Finding:
    try:
        version = importlib.import_module("transformers").__version__
        importlib.import_module("fnet_kernels.hf._layer")
    except ImportError as error:
        return Finding("transformers", f"not usable, so fnet_kernels.hf is unavailable ({error})")
    return Finding("transformers", f"{version}, hf.patch_fnet is available")
