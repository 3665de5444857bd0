"""Compiles CUDA sources with nvcc, against any torch: one built for CUDA is not needed for that.

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
#: What a wheel for everyone is compiled for, as far as nvcc knows them; PTX of the last.
ARCHITECTURES = ["8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
#: The first capability that converts bfloat16, as the kernels do.
OLDEST = (8, 0)


class NoArchitecture(ValueError):
    """Nothing that was asked for can be compiled here."""


@dataclass(frozen=True)
class Toolkit:
    """An nvcc, its version, and the folders with its libraries."""

    nvcc: str
    version: tuple[int, int]
    libraries: tuple[Path, ...]

    def runtime(self) -> list[str]:
        """Link arguments for the CUDA runtime.

        The shared one, by its full name (pip's packages have no plain libcudart.so): torch has
        loaded it before us, from wherever its own copy is. Where there is none, the static one.
        """
        name = f"libcudart.so.{self.version[0]}"
        for folder in self.libraries:
            if (folder / name).exists():
                return [f"-L{folder}", f"-l:{name}"]
        return [*(f"-L{folder}" for folder in self.libraries), "-lcudart_static", "-lrt", "-ldl"]


def find_toolkit() -> Toolkit | None:
    """The toolkit of CUDA_HOME, else of the nvcc in PATH, else pip's packages; None without one.

    A CUDA_HOME without an nvcc (a runtime, or a folder that is gone) leaves it to PATH.
    """
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    found = shutil.which("nvcc")
    packages = Path(sysconfig.get_path("purelib"), "nvidia")
    homes = [Path(named)] if named else []
    homes += [home_of(found)] if found else []
    # Where one is named or in PATH, a package is not what was meant.
    homes = homes or sorted(packages.glob("cu[0-9]*"), reverse=True)
    for home in homes:
        nvcc = str(home / "bin" / "nvcc")
        version = nvcc_version(nvcc)
        if version:
            folders = (home / "lib64", home / "lib", home / "targets" / "x86_64-linux" / "lib")
            return Toolkit(nvcc, version, tuple(p for p in folders if p.is_dir()))
    return None


def home_of(nvcc: str) -> Path:
    """The toolkit's folder, as nvcc says it: what PATH names may be a script that calls another."""
    command = [nvcc, "--dryrun", "-c", "-x", "cu", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True)
    top = re.search(r"^#\$ TOP=(.+)$", done.stderr, re.MULTILINE)
    return Path(top[1] if top else Path(nvcc).parents[1]).resolve()


def nvcc_version(nvcc: str) -> tuple[int, int] | None:
    """Major and minor, or None where it does not run."""
    try:
        text = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    except OSError:
        return None
    match = re.search(r"release (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def architectures(nvcc: str, local: str | None) -> list[str]:
    """-gencode flags: of TORCH_CUDA_ARCH_LIST, else of the GPU here, else of all that nvcc knows.

    Capabilities below 8.0, and those that nvcc does not know, are left out, which is printed:
    images for many libraries name them all.

    Raises:
        NoArchitecture: nothing is left.
        ValueError: TORCH_CUDA_ARCH_LIST holds something else than `8.0` or `9.0+PTX`.
    """
    done = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True)
    known = {word for word in done.stdout.split() if word.startswith("compute_")}
    given = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").replace(",", " ").split()
    if not given and local:
        given = [local]
    if not given:
        given = [a for a in ARCHITECTURES if f"compute_{a.replace('.', '')}" in known]
        given[-1:] = [f"{a}+PTX" for a in given[-1:]]
    flags, left_out = [], []
    for name in given:
        match = re.fullmatch(r"(\d+)\.(\d)([af]?)(\+PTX)?", name)
        if not match:
            raise ValueError(
                f"TORCH_CUDA_ARCH_LIST: expected capabilities like 8.0 or 9.0+PTX, got {name}"
            )
        number = match[1] + match[2]
        old = (int(match[1]), int(match[2])) < OLDEST
        if old or (known and f"compute_{number}" not in known):
            left_out.append(f"{name} ({'below 8.0' if old else 'unknown to nvcc'})")
            continue
        number += match[3]
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if match[4]:
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    if not flags:
        asked = ", ".join(left_out) or "no capability of 8.0 or newer"
        raise NoArchitecture(
            f"CUDA kernels need compute capability 8.0 or newer that nvcc knows, got {asked}"
        )
    if left_out:
        print(f"fnet_kernels: left out of the CUDA kernels: {', '.join(left_out)}", flush=True)
    return flags


def host_compiler(command: str) -> str:
    """The compiler in a command like `ccache g++ -m64`: its last word that is no option."""
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
    """Object files of the sources, MAX_JOBS at a time; those that are up to date are kept.

    Beside each lies a .log with what the assembler said of its kernels.

    Raises:
        RuntimeError: with nvcc's words, when a source does not compile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [toolkit.nvcc, *FLAGS, *architectures(toolkit.nvcc, gpu), f"-I{include}"]
    command += ["-ccbin", host_compiler(os.environ.get("CXX", "c++"))]
    stamp = folder / "command"
    same = stamp.exists() and stamp.read_text() == " ".join(command)
    stamp.unlink(missing_ok=True)  # what a failed build leaves is of two commands, and of neither
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
