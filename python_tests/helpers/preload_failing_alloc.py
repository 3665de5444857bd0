"""Compiles failing_alloc.cpp and runs failing_alloc.py with it preloaded, without torch itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from python_tests.helpers.symbols import COMPILER

PROGRAM = Path(__file__).with_name("failing_alloc.py")

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/failing_alloc.so"
        options = ("-std=c++17", "-shared", "-fPIC", "-O1", "-o", library)
        subprocess.run([*COMPILER, *options, PROGRAM.with_suffix(".cpp")], check=True)
        environment = {**os.environ, "LD_PRELOAD": library}
        sys.exit(subprocess.run([sys.executable, PROGRAM, library], env=environment).returncode)
