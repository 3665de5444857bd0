"""`make wheel-check`: run the wheel under other Pythons and torches.

Each pair, such as 3.12:2.11.0, gets a fresh environment. A pair whose Python or torch cannot be
installed is reported and left out.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "wheel-check"


def output_of(*command: str | Path, cwd: Path | None = None) -> tuple[int, str]:
    """The status of a command and what it prints."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout.strip()


def find_python(version: str) -> str | None:
    """An interpreter of this version: this one, in PATH, or one that uv installs."""
    if platform.python_version().startswith(f"{version}."):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found and output_of(found, "-c", "import venv")[0] == 0:
        return found
    uv = shutil.which("uv")
    if uv is None or output_of(uv, "python", "install", version)[0]:
        return None
    status, path = output_of(uv, "python", "find", "--managed-python", version)
    return path if status == 0 else None


def check(wheel: Path, version: str, torch: str) -> str | None:
    """Install and run the wheel. Returns the reason if that is impossible here.

    Raises:
        RuntimeError: the wheel is broken; the message is the report of pip or the doctor.
    """
    interpreter = find_python(version)
    if interpreter is None:
        return f"Python {version} was not found, and uv does not install it"
    env = FOLDER / "env"
    shutil.rmtree(env, ignore_errors=True)
    status, text = output_of(interpreter, "-m", "venv", env)
    if status:
        return text.splitlines()[-1]
    python = env / "bin" / "python"
    requirement = "torch" if torch == "newest" else f"torch=={torch}"
    status, text = output_of(python, "-m", "pip", "install", requirement, "numpy")
    if status:
        return next(line for line in text.splitlines() if "ERROR" in line)
    status, text = output_of(python, "-m", "pip", "install", "--no-index", wheel)
    if status:
        raise RuntimeError(text)
    status, text = output_of(python, "-I", "-m", "fnet_kernels", "doctor", cwd=FOLDER)
    shutil.rmtree(env)
    if status:
        raise RuntimeError(text)
    package, torch_found, *_ = text.splitlines()
    print(f"{package}; {torch_found}: all checks passed", flush=True)
    return None


def pair(text: str) -> tuple[str, str]:
    """The Python and the torch of a word such as 3.12:2.11.0."""
    if not re.fullmatch(r"3\.\d+:(newest|\d+(\.\d+)*)", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected PYTHON:TORCH, as in 3.12:2.11.0")
    version, _, torch = text.partition(":")
    return version, torch


def main() -> int:
    """Check each pair. Returns 1 if the wheel is broken under one or if none could be run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument(
        "pairs", nargs="+", type=pair, metavar="PYTHON:TORCH", help="TORCH may be `newest`"
    )
    args = parser.parse_args()
    ran = broken = 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for version, torch in args.pairs:
        try:
            reason = check(args.wheel.resolve(), version, torch)
        except RuntimeError as error:
            print(f"Python {version}, torch {torch}: broken\n{error}", flush=True)
            broken += 1
            continue
        ran += reason is None
        if reason:
            print(f"Python {version}, torch {torch}: not run: {reason}", flush=True)
    return 0 if ran and not broken else 1


if __name__ == "__main__":
    sys.exit(main())
