"""Whether the figures of the committed report are those of the present code.

defines: compiled_code, audited_code
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from build_backend import fnet_nvcc

HERE = Path(__file__).parent


def _hash(start: str, files: Iterable[Path]) -> str:
    """A hash of `start` and of C++ code. Comments, blank space and includes do not count."""
    found = hashlib.sha256(start.encode())
    for path in sorted(files):
        code = re.sub(r"//.*|^#include.*", "", path.read_text(), flags=re.MULTILINE)
        found.update("".join(code.split()).encode())
    return found.hexdigest()[:16]


def _sources(csrc: Path, folders: tuple[str, ...], suffixes: tuple[str, ...]) -> Iterable[Path]:
    files = (path for folder in folders for path in (csrc / folder).rglob("*"))
    return (path for path in files if path.suffix in suffixes)


def compiled_code(csrc: Path) -> str:
    """A hash of the code that nvcc compiles, and of its flags."""
    kernels = _sources(csrc, ("core", "cuda", "fft"), (".cu", ".h"))
    return _hash(" ".join(fnet_nvcc.FLAGS), kernels)


def audited_code(csrc: Path) -> str:
    """A hash of the code that the audit runs: kernels, plans, the simulator, the audit itself."""
    audit = "".join((HERE / name).read_text() for name in ("audit.py", "passes.py"))
    simulated = _sources(csrc, ("core", "cuda", "cuda_sim", "fft"), (".cpp", ".cu", ".h"))
    return _hash(audit, simulated)
