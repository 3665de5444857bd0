"""What the build recorded about the CUDA kernels: the compiler and the devices they run on.

defines: CudaBuild
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from fnet_kernels._ops.library import CUDA_KERNELS

#: Written next to the library by build_backend/fnet_nvcc.py.
RECORD = Path(CUDA_KERNELS).with_suffix(".json").name
#: Seconds in which a driver compiles the PTX of one kernel for one dtype, which it does for all
#: lengths at once: ptxas takes 3 on one core of a server for row_fft in bfloat16.
JIT_SECONDS = (2, 10)

Version = tuple[int, int]


def version(text: str) -> Version:
    """Major and minor version of `13.0` or `13.0.88`."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


@dataclass(frozen=True)
class CudaBuild:
    """How the CUDA kernels were compiled.

    Attributes:
        nvcc: the version of the compiler, such as `13.0`.
        kernels: the compute capabilities with machine code, such as `9.0` or `9.0a`.
        ptx: those with PTX, which drivers compile for newer devices.
    """

    nvcc: str
    kernels: tuple[str, ...]
    ptx: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> CudaBuild | None:
        """The record of the library in `folder`, or None if the build wrote none."""
        path = folder / RECORD
        if not path.exists():
            return None
        found = json.loads(path.read_text())
        return cls(found["nvcc"], tuple(found["kernels"]), tuple(found["ptx"]))

    def __str__(self) -> str:
        ptx = f", PTX of {', '.join(self.ptx)}" if self.ptx else ""
        return f"compiled by nvcc {self.nvcc} for {', '.join(self.kernels) or 'no device'}{ptx}"

    def too_new(self, cuda: str) -> str:
        """What may fail with a torch of this CUDA version, whose runtime is older than nvcc; ""."""
        if version(self.nvcc) <= version(cuda):
            return ""
        return (
            f"nvcc {self.nvcc} is newer than torch's CUDA {cuda}: if the CUDA kernels do not load"
            f" or do not run, set CUDA_HOME to a toolkit of CUDA {cuda} and build again"
        )

    def has_kernels_for(self, capability: Version) -> bool:
        """Whether a device runs the machine code: that of its major version, not a newer minor."""
        for name in self.kernels:
            number, suffix = re.fullmatch(r"([\d.]+)([af]?)", name).groups()  # type: ignore[union-attr]
            major, minor = version(number)
            fits = minor == capability[1] if suffix == "a" else minor <= capability[1]
            if major == capability[0] and fits:
                return True
        return False

    def ptx_for(self, capability: Version) -> str | None:
        """The newest PTX that a driver can compile for a device, or None."""
        usable = [name for name in self.ptx if name[-1].isdigit() and version(name) <= capability]
        return max(usable, key=version, default=None)
