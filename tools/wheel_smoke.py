"""Run the doctor on an installed wheel, for `make wheel-check`.

Fails under the torch version that the wheel was built with, and on the package of the source tree,
because neither tests the wheel's binary compatibility.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import fnet_kernels
from fnet_kernels.cli import main as run_command


def main() -> None:
    """Print the doctor's report. Exits with status 1 and the reason if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built-with", required=True, help="torch version at build time")
    built_with = parser.parse_args().built_with
    if built_with == torch.__version__:
        sys.exit(
            f"torch {built_with} is the version that the wheel was built with: use another one"
        )
    package = Path(fnet_kernels.__file__)
    if "site-packages" not in package.parts:
        sys.exit(f"{package} is not an installed wheel")
    if run_command(["doctor"]) != 0:
        sys.exit(f"the wheel does not work under torch {torch.__version__}")
    print(f"the wheel built with torch {built_with} works under torch {torch.__version__}")


if __name__ == "__main__":
    main()
