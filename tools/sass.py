"""SASS, the machine code of CUDA kernels: reads cuobjdump's listings.

defines: listings, parse, overlaps, waits
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


_INSTRUCTION = re.compile(r"(?:@!?U?P\w+ )?([A-Z0-9_]+)(\S*)\s*(.*)")


def waits(listing: Sequence[str], at_least: int = 4) -> int:
    """How many times a warp waits for `at_least` loads of global memory together.

    The first instruction that uses the result of a load ends the wait for all loads before it. The
    listing is read in order, all branches included.
    """
    count, loads, pending = 0, 0, set[int]()
    for instruction in listing:
        match = _INSTRUCTION.match(instruction)
        if not match:
            continue
        name, kind, operands = match.groups()
        registers = [int(r) for r in re.findall(r"\bR(\d+)\b", operands)]
        if not pending.isdisjoint(registers):
            count += loads >= at_least
            loads, pending = 0, set()
        if name == "LDG" and registers:
            width = 4 if ".128" in kind else 2 if ".64" in kind else 1
            pending.update(range(registers[0], registers[0] + width))
            loads += 1
    return count
