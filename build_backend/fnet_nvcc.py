"""Compiles CUDA sources with nvcc. torch may be built without CUDA.

defines: Toolkit, find_toolkit, compile_all, CannotBuild, RECORD
"""

from __future__ import annotations

import json
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
#: The compute capabilities of a portable wheel, if nvcc supports them. These and the last one
#: include PTX: 9.0 for devices whose capability lies between the listed ones, such as 11.0.
ARCHITECTURES = ["8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
WITH_PTX = ["9.0"]
#: The record of a build next to its library, for `python -m fnet_kernels doctor`.
RECORD = "libfnet_kernels_cuda.json"
#: The first capability with bfloat16 conversions, which the kernels use.
OLDEST = (8, 0)


class CannotBuild(RuntimeError):
    """The CUDA kernels cannot be built; the message, one line, says why."""


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


def find_toolkit() -> Toolkit:
    """Find the toolkit of CUDA_HOME, else of nvcc in PATH, else of pip's packages.

    Ignores a CUDA_HOME without a working nvcc, such as a runtime installation or a missing folder.

    Raises:
        CannotBuild: none of them has an nvcc that runs.
    """
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    found = shutil.which("nvcc")
    packages = Path(sysconfig.get_path("purelib"), "nvidia")
    homes = [Path(named)] if named else []
    homes += [home_of(found)] if found else []
    # Use pip's packages only if neither CUDA_HOME nor PATH names a toolkit.
    homes = homes or sorted(packages.glob("cu[0-9]*"), reverse=True)
    broken = []
    for home in homes:
        nvcc = home / "bin" / "nvcc"
        version = nvcc_version(str(nvcc))
        if version:
            folders = (home / "lib64", home / "lib", *sorted(home.glob("targets/*-linux/lib")))
            return Toolkit(str(nvcc), version, tuple(p for p in folders if p.is_dir()))
        broken += [str(nvcc)] if nvcc.exists() else []
    state = f"{broken[0]} does not run" if broken else "nvcc was not found"
    raise CannotBuild(f"{state}: install the CUDA toolkit, or set CUDA_HOME")


def home_of(nvcc: str) -> Path:
    """The toolkit's folder as nvcc reports it, since the nvcc in PATH may be a script."""
    text = output_of([nvcc, "--dryrun", "-c", "-x", "cu", os.devnull])
    top = re.search(r"^#\$ TOP=(.+)$", text, re.MULTILINE)
    return Path(top[1] if top else Path(nvcc).parents[1]).resolve()


def output_of(command: list[str]) -> str:
    """What a command prints; nothing if it cannot start."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError:
        return ""
    return done.stdout + done.stderr


def nvcc_version(nvcc: str) -> tuple[int, int] | None:
    """Major and minor version, or None if nvcc does not run."""
    match = re.search(r"release (\d+)\.(\d+)", output_of([nvcc, "--version"]))
    return (int(match[1]), int(match[2])) if match else None


def architectures(nvcc: str, local: list[str]) -> list[str]:
    """-gencode flags for TORCH_CUDA_ARCH_LIST, else the `local` GPUs, else all that nvcc supports.

    Skips capabilities below 8.0 or unknown to nvcc, and entries that do not look like `8.0` or
    `9.0+PTX`, and prints them in one line: container images often list capabilities for all
    libraries.

    Raises:
        CannotBuild: no capability remains.
    """
    known = re.findall(r"compute_\d+", output_of([nvcc, "--list-gpu-arch"]))
    given = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").replace(",", " ").split()
    given = given or local
    if not given:
        given = [a for a in ARCHITECTURES if f"compute_{a.replace('.', '')}" in known]
        given = [f"{a}+PTX" if a in (*WITH_PTX, given[-1]) else a for a in given]
    flags, skipped = [], []
    for name in given:
        match = re.fullmatch(r"(\d+)\.(\d)([af]?)(\+PTX)?", name)
        if not match:
            skipped.append(f"{name} (expected a capability like 8.0 or 9.0+PTX)")
            continue
        number = match[1] + match[2]
        old = (int(match[1]), int(match[2])) < OLDEST
        if old or (known and f"compute_{number}" not in known):
            skipped.append(f"{name} ({'below 8.0' if old else 'unknown to nvcc'})")
            continue
        number += match[3]
        # For 8.6 and 8.9 the compiler's first half would produce the PTX of 8.0 again.
        ptx = "80" if match[1] == "8" else number
        flags.append(f"-gencode=arch=compute_{ptx},code=sm_{number}")
        if match[4]:
            flags.append(f"-gencode=arch=compute_{ptx},code=compute_{ptx}")
    if not flags:
        requested = ", ".join(skipped) or "no capability of 8.0 or newer"
        raise CannotBuild(
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


def first_error(text: str) -> str:
    """The line of a compiler's output that names the failure: the first with `error` or `fatal`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if re.search(r"error|fatal", line, re.IGNORECASE)]
    return [*named, *lines, "no output"][0]


def compile_all(
    toolkit: Toolkit,
    sources: list[str],
    headers: list[str],
    include: Path,
    folder: Path,
    gpus: list[str],
) -> list[str]:
    """Compile the sources, MAX_JOBS at a time, except those that are up to date.

    Writes what nvcc prints for each source, which includes the assembler's report on its kernels,
    to a .log file next to the object, and to RECORD which nvcc compiled for which devices.

    Returns:
        The object files, in the order of the sources.

    Raises:
        CannotBuild: a source does not compile, or `architectures` finds no capability.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = architectures(toolkit.nvcc, gpus)
    command = [toolkit.nvcc, *FLAGS, *targets, f"-I{include}"]
    command += ["-ccbin", host_compiler(os.environ.get("CXX", "c++"))]
    stamp = folder / "command"
    added = [os.environ.get(f"NVCC_{name}_FLAGS", "") for name in ("PREPEND", "APPEND")]  # nvcc's
    full = " ".join([*command, *added])
    same = stamp.exists() and stamp.read_text() == full
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
            log = target.with_suffix(".log")
            log.write_text(done.stderr)
            if done.returncode:
                target.unlink(missing_ok=True)
                raise CannotBuild(
                    f"nvcc does not compile {source} ({first_error(done.stderr)}); see {log}"
                )
            print(f"nvcc {source}: {time.monotonic() - started:.1f} s", flush=True)
        return str(target)

    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", "1"))) as pool:
        objects = list(pool.map(compile_one, sources))
    stamp.write_text(full)
    (folder / RECORD).write_text(json.dumps(record(toolkit, targets)) + "\n")
    return objects


def record(toolkit: Toolkit, targets: list[str]) -> dict[str, object]:
    """What a build with these -gencode flags runs on: compute capabilities such as `9.0`."""
    codes = [flag.split(",code=")[1].split("_") for flag in targets]

    def capabilities(kind: str) -> list[str]:
        found = [re.sub(r"(\d)([af]?)$", r".\1\2", number) for k, number in codes if k == kind]
        return list(dict.fromkeys(found))

    return {
        "nvcc": ".".join(map(str, toolkit.version)),
        "kernels": capabilities("sm"),
        "ptx": capabilities("compute"),
    }
