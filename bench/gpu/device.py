"""The device of the GPU checks and benchmarks, and its stand-in for rehearsals.

defines: Cuda, Host, Device

`Host` implements the same methods on the CPU, with host timing and no graphs. A rehearsal therefore
runs all other code of the checks on a machine without a GPU. Its figures mean nothing.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

_cuda: Any = torch.cuda  # partly untyped
_cudnn: Any = torch.backends.cudnn

Tensors = Sequence[Tensor]
Call = Callable[[], Any]

_SMI = (
    "driver_version",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "clocks.max.mem",
    "power.limit",
    "temperature.gpu",
)


class Cuda:
    """The CUDA device that torch uses."""

    type = "cuda"
    rehearsal = False
    backend = "inductor"

    def __init__(self) -> None:
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self.name: str = properties.name
        self.l2_bytes: int = properties.L2_cache_size
        self.capability = f"{properties.major}.{properties.minor}"
        self.processors: int = properties.multi_processor_count
        self.memory_bytes: int = properties.total_memory

    def slug(self) -> str:
        """The device name as a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def facts(self) -> dict[str, Any]:
        """Properties of the device and versions of CUDA and cuDNN."""
        return {
            "name": self.name,
            "capability": self.capability,
            "multiprocessors": self.processors,
            "memory_mib": self.memory_bytes >> 20,
            "l2_mib": self.l2_bytes >> 20,
            "cuda": torch.version.cuda,
            "cudnn": _cudnn.version(),
        }

    def state(self) -> dict[str, str]:
        """Driver, clocks, power limit and temperature from nvidia-smi, or its error."""
        which = str(torch.cuda.current_device())
        query = [
            "nvidia-smi",
            "-i",
            which,
            f"--query-gpu={','.join(_SMI)}",
            "--format=csv,noheader",
        ]
        try:
            done = subprocess.run(
                query,
                capture_output=True,
                text=True,
                check=True,
                timeout=20,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return {"nvidia-smi": str(error)}
        return dict(zip(_SMI, (cell.strip() for cell in done.stdout.split(",")), strict=False))

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def free_bytes(self) -> int:
        """Free device memory in bytes."""
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]

    def seconds(self, calls: Sequence[Call]) -> list[float]:
        """Device time of each call in seconds. The calls run back to back."""
        event: Any = torch.cuda.Event  # untyped in torch
        events = [event(enable_timing=True) for _ in range(len(calls) + 1)]
        self.sleep(0.2)  # keeps the device busy until the host has launched more work
        events[0].record()
        for call, after in zip(calls, events[1:], strict=True):
            call()
            after.record()
        torch.cuda.synchronize()
        return [a.elapsed_time(b) * 1e-3 for a, b in pairwise(events)]

    def capture(self, call: Callable[[], Tensors], warm_up: bool = True) -> tuple[Call, Tensors]:
        """Capture `call` in a CUDA graph. Returns the replay function and the results it fills."""
        side = _cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # create plans and tables before the capture
            for _ in range(2 if warm_up else 0):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph):
                result = call()
        finally:  # after a failed capture torch 2.11 stays on its stream
            torch.cuda.set_stream(stream)
        return graph.replay, result

    def extra_bytes(self, call: Call) -> int:
        """Peak memory of `call` in bytes, without the memory of its result."""
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = call()
        torch.cuda.synchronize()
        peak, after = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
        del result
        freed = after - torch.cuda.memory_allocated()
        return peak - before - freed

    def kernels(self, call: Call, repeats: int = 10) -> dict[str, dict[str, float]]:
        """Launches and microseconds per run of `call` by kernel name, by torch.profiler."""
        return _profiled(self, call, repeats, ProfilerActivity.CUDA, "self_device_time_total")

    def sleep(self, milliseconds: float) -> None:
        """Keep the current stream busy, assuming a clock of 2 GHz."""
        _cuda._sleep(int(milliseconds * 2e6))

    @contextmanager
    def side_stream(self) -> Iterator[None]:
        """Run on a new stream. At exit the current stream waits for it."""
        side = _cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            yield
        torch.cuda.current_stream().wait_stream(side)

    @contextmanager
    def memory_short(self) -> Iterator[None]:
        """Limit the memory of this process to 16 MiB more than it uses."""
        torch.cuda.empty_cache()
        limit = torch.cuda.memory_reserved() + (16 << 20)
        torch.cuda.set_per_process_memory_fraction(limit / self.memory_bytes)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)


class Host:
    """The CPU in place of a GPU."""

    type = "cpu"
    rehearsal = True
    backend = "eager"
    name = "rehearsal"
    l2_bytes = 1 << 12

    def __init__(self) -> None:
        torch.set_num_threads(1)  # the shapes are too small for more threads

    def slug(self) -> str:
        return self.name

    def facts(self) -> dict[str, Any]:
        return {"name": self.name, "cuda": None}

    def state(self) -> dict[str, str]:
        return {"nvidia-smi": "not run in a rehearsal"}

    def synchronize(self) -> None: ...

    def free_bytes(self) -> int:
        return 1 << 30

    def seconds(self, calls: Sequence[Call]) -> list[float]:
        marks = [time.perf_counter()]
        for call in calls:
            call()
            marks.append(time.perf_counter())
        return [b - a for a, b in pairwise(marks)]

    def capture(self, call: Callable[[], Tensors], warm_up: bool = True) -> tuple[Call, Tensors]:
        result = call()

        def replay() -> None:
            for kept, new in zip(result, call(), strict=True):
                kept.copy_(new)

        return replay, result

    def extra_bytes(self, call: Call) -> int:
        call()
        return 0

    def kernels(self, call: Call, repeats: int = 2) -> dict[str, dict[str, float]]:
        return _profiled(self, call, repeats, ProfilerActivity.CPU, "self_cpu_time_total")

    def sleep(self, milliseconds: float) -> None:
        time.sleep(milliseconds * 1e-6)

    @contextmanager
    def side_stream(self) -> Iterator[None]:
        yield

    @contextmanager
    def memory_short(self) -> Iterator[None]:
        import resource

        before = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[0])
        limit = pages * resource.getpagesize() + (16 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


Device = Cuda | Host


def _profiled(
    device: Device, call: Call, repeats: int, activity: ProfilerActivity, field: str
) -> dict[str, dict[str, float]]:
    call()
    device.synchronize()
    with profile(activities=[activity]) as profiler:
        for _ in range(repeats):
            call()
        device.synchronize()
    found = {}
    for event in profiler.key_averages():
        microseconds = float(getattr(event, field)) / repeats
        if microseconds > 0:
            found[event.key] = {"launches": event.count / repeats, "us": microseconds}
    return dict(sorted(found.items(), key=lambda item: -item[1]["us"]))
