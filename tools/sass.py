"""SASS, the machine code of CUDA kernels: reads cuobjdump's listings.

defines: listings, parse, overlaps
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

#: The instructions of each kernel by (architecture, mangled name).
Listings = dict[tuple[str, str], list[str]]


def listings(objects: Sequence[str]) -> Listings:
    """Disassemble the kernels of object files.

    A listing does not tell how often instructions run: no kernel runs all of its epilogues.

    Raises:
        SystemExit: cuobjdump is not installed.
    """
    packages = Path(sysconfig.get_path("purelib"), "nvidia").glob("cu[0-9]*/bin/cuobjdump")
    tool = shutil.which("cuobjdump") or next(map(str, sorted(packages)), None)
    if tool is None:
        raise SystemExit("there is no cuobjdump: pip install nvidia-cuda-cuobjdump and -nvdisasm")
    path = f"{Path(tool).parent}{os.pathsep}{os.environ['PATH']}"  # cuobjdump runs nvdisasm
    found: Listings = {}
    for file in objects:
        output = subprocess.run(
            [tool, "-sass", file],
            env={**os.environ, "PATH": path},
            check=True,
            capture_output=True,
            text=True,
        )
        found |= parse(output.stdout)
    return found


def parse(text: str) -> Listings:
    """Parse the output of `cuobjdump -sass`."""
    found: Listings = {}
    architecture, listing = "", []
    for line in text.splitlines():
        if match := re.match(r"\s*code for sm_(\d+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            listing = found[architecture, match[1]] = []
        elif match := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s*([^;]*);", line):
            listing.append(match[1].strip())
    return found


def overlaps(listing: Sequence[str]) -> bool:
    """Whether a kernel lets the next one start and waits for the previous one."""
    text = " ".join(listing)
    return "PREEXIT" in text and "ACQBULK" in text
