"""Run by `make wheel-check` where the wheel is installed: the doctor finds nothing broken.

Fails under the torch that the wheel was built with, and on the source tree's package: either would
prove nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import fnet_kernels
from fnet_kernels.cli import main as run_command


def main() -> None:
    """Print the doctor's report; exit status 1 with the reason when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built-with", required=True, help="torch's version at build time")
    built_with = parser.parse_args().built_with
    if built_with == torch.__version__:
        sys.exit(f"torch {built_with} is the one that the wheel was built with: choose another")
    package = Path(fnet_kernels.__file__)
    if "site-packages" not in package.parts:
        sys.exit(f"{package} is not an installed wheel")
    if run_command(["doctor"]) != 0:
        sys.exit(f"the wheel is broken under torch {torch.__version__}")
    print(f"wheel built with torch {built_with} is right under torch {torch.__version__}")


if __name__ == "__main__":
    main()
