"""Compiles CUDA sources with nvcc. torch may be built without CUDA.

defines: Toolkit, find_toolkit, compile_all, NoArchitecture
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FLAGS = ["-std=c++20", "-O3", "--expt-relaxed-constexpr", "-Xptxas", "-v"]
FLAGS += ["-Xcompiler", "-fPIC,-fvisibility=hidden"]
#: The compute capabilities of a portable wheel, if nvcc supports them. The last one includes PTX.
ARCHITECTURES = ["8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
#: The first capability with bfloat16 conversions, which the kernels use.
OLDEST = (8, 0)


class NoArchitecture(ValueError):
    """nvcc can compile for none of the requested compute capabilities."""


@dataclass(frozen=True)
class Toolkit:
    """An nvcc with its version and library folders."""

    nvcc: str
    version: tuple[int, int]
    libraries: tuple[Path, ...]

    def runtime(self) -> list[str]:
        """Link arguments for the CUDA runtime.

        Links the shared library by its full name, because pip's packages have no plain
        libcudart.so; torch has already loaded its own copy. Without a shared library, links the
        static one.
        """
        name = f"libcudart.so.{self.version[0]}"
        for folder in self.libraries:
            if (folder / name).exists():
                return [f"-L{folder}", f"-l:{name}"]
        return [*(f"-L{folder}" for folder in self.libraries), "-lcudart_static", "-lrt", "-ldl"]


def find_toolkit() -> Toolkit | None:
    """Find the toolkit of CUDA_HOME, else of nvcc in PATH, else of pip's packages, else None.

    Ignores a CUDA_HOME without nvcc, such as a runtime installation or a missing folder.
    """
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    found = shutil.which("nvcc")
    packages = Path(sysconfig.get_path("purelib"), "nvidia")
    homes = [Path(named)] if named else []
    homes += [home_of(found)] if found else []
    # Use pip's packages only if neither CUDA_HOME nor PATH names a toolkit.
    homes = homes or sorted(packages.glob("cu[0-9]*"), reverse=True)
    for home in homes:
        nvcc = str(home / "bin" / "nvcc")
        version = nvcc_version(nvcc)
        if version:
            folders = (home / "lib64", home / "lib", home / "targets" / "x86_64-linux" / "lib")
            return Toolkit(nvcc, version, tuple(p for p in folders if p.is_dir()))
    return None


def home_of(nvcc: str) -> Path:
    """The toolkit's folder as nvcc reports it, since the nvcc in PATH may be a script."""
    command = [nvcc, "--dryrun", "-c", "-x", "cu", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True)
    top = re.search(r"^#\$ TOP=(.+)$", done.stderr, re.MULTILINE)
    return Path(top[1] if top else Path(nvcc).parents[1]).resolve()


def nvcc_version(nvcc: str) -> tuple[int, int] | None:
    """Major and minor version, or None if nvcc does not run."""
    try:
        text = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    except OSError:
        return None
    match = re.search(r"release (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def architectures(nvcc: str, local: str | None) -> list[str]:
    """-gencode flags for TORCH_CUDA_ARCH_LIST, else the `local` GPU, else all that nvcc supports.

    Skips capabilities below 8.0 or unknown to nvcc and prints them: container images often list
    capabilities for all libraries.

    Raises:
        NoArchitecture: no capability remains.
        ValueError: an entry of TORCH_CUDA_ARCH_LIST does not look like `8.0` or `9.0+PTX`.
    """
    done = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True)
    known = {word for word in done.stdout.split() if word.startswith("compute_")}
    given = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").replace(",", " ").split()
    if not given and local:
        given = [local]
    if not given:
        given = [a for a in ARCHITECTURES if f"compute_{a.replace('.', '')}" in known]
        given[-1:] = [f"{a}+PTX" for a in given[-1:]]
    flags, skipped = [], []
    for name in given:
        match = re.fullmatch(r"(\d+)\.(\d)([af]?)(\+PTX)?", name)
        if not match:
            raise ValueError(
                f"TORCH_CUDA_ARCH_LIST: expected capabilities like 8.0 or 9.0+PTX, got {name}"
            )
        number = match[1] + match[2]
        old = (int(match[1]), int(match[2])) < OLDEST
        if old or (known and f"compute_{number}" not in known):
            skipped.append(f"{name} ({'below 8.0' if old else 'unknown to nvcc'})")
            continue
        number += match[3]
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if match[4]:
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    if not flags:
        requested = ", ".join(skipped) or "no capability of 8.0 or newer"
        raise NoArchitecture(
            "CUDA kernels need a compute capability of 8.0 or newer that nvcc supports, got"
            f" {requested}"
        )
    if skipped:
        print(f"fnet_kernels: no CUDA kernels for {', '.join(skipped)}", flush=True)
    return flags


def host_compiler(command: str) -> str:
    """The compiler in a command like `ccache g++ -m64`: the last word that is not an option."""
    words = [word for word in command.split() if not word.startswith("-")]
    return words[-1] if words else "c++"


def compile_all(
    toolkit: Toolkit,
    sources: list[str],
    headers: list[str],
    include: Path,
    folder: Path,
    gpu: str | None,
) -> list[str]:
    """Compile the sources, MAX_JOBS at a time, except those that are up to date.

    Writes the assembler's report on the kernels of each source to a .log file next to its object.

    Returns:
        The object files, in the order of the sources.

    Raises:
        RuntimeError: a source does not compile; the message is nvcc's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [toolkit.nvcc, *FLAGS, *architectures(toolkit.nvcc, gpu), f"-I{include}"]
    command += ["-ccbin", host_compiler(os.environ.get("CXX", "c++"))]
    stamp = folder / "command"
    same = stamp.exists() and stamp.read_text() == " ".join(command)
    stamp.unlink(missing_ok=True)  # a failed build leaves objects of both commands
    newest_header = max(Path(header).stat().st_mtime for header in headers)

    def compile_one(source: str) -> str:
        target = folder / (Path(source).stem + ".o")
        newest = max(newest_header, Path(source).stat().st_mtime)
        if not (same and target.exists() and target.stat().st_mtime > newest):
            started = time.monotonic()
            done = subprocess.run(
                [*command, "-c", source, "-o", target], capture_output=True, text=True
            )
            if done.returncode:
                target.unlink(missing_ok=True)
                raise RuntimeError(f"nvcc does not compile {source}:\n{done.stderr}")
            target.with_suffix(".log").write_text(done.stderr)
            print(f"nvcc {source}: {time.monotonic() - started:.1f} s", flush=True)
        return str(target)

    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", "1"))) as pool:
        objects = list(pool.map(compile_one, sources))
    stamp.write_text(" ".join(command))
    return objects
