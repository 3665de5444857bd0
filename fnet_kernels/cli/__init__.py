"""The command line: `python -m fnet_kernels`."""

from fnet_kernels.cli.command import COMMANDS, main

__all__ = ["COMMANDS", "main"]
