"""What a build needs. Each missing part ends the build with an error of one sentence."""

from __future__ import annotations

import os
import platform
import subprocess
import warnings
from typing import NoReturn

OLDEST_TORCH = (2, 11)  # the first with all of the stable ABI that the libraries use


def stop(sentence: str) -> NoReturn:
    """End the build with an error of one sentence, which pip shows without a traceback."""
    raise SystemExit(f"fnet_kernels: {sentence}")


def name_processor() -> None:
    """Say which kernels are built for a processor that has none of its own."""
    processor = platform.machine()
    if processor.lower() not in ("x86_64", "amd64", "aarch64", "arm64"):
        print(f"fnet_kernels: portable C++ kernels: none are specific to {processor}", flush=True)


def check_torch() -> None:
    """Stop the build if torch is missing or older than the stable ABI that we use."""
    oldest = "torch>={}.{}".format(*OLDEST_TORCH)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch without NumPy warns
            import torch
    except (ImportError, OSError) as error:
        stop(f"torch does not import ({error}): run `pip install '{oldest}'`, then build again")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        stop(f"torch {torch.__version__} is too old: run `pip install '{oldest}'`")


def check_compiler() -> None:
    """Stop the build if C++20 does not compile."""
    compiler = os.environ.get("CXX", "c++")
    fix = "install g++ 11 or clang 14 or newer (for example `apt install g++`), or set CXX"
    probe = [*compiler.split(), "-std=c++20", "-fsyntax-only", "-x", "c++", "-"]
    source = "#include <concepts>\n#include <span>\n"
    try:
        done = subprocess.run(probe, input=source, text=True, capture_output=True)
    except OSError:
        stop(f"the C++ compiler `{compiler}` was not found: {fix}")
    if done.returncode:
        stop(f"the C++ compiler `{compiler}` does not compile C++20: {fix}")
