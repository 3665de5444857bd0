"""The command line. A command is a module with `add_arguments(parser)` and `run(args) -> int`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from fnet_kernels.cli.pipes import pipe_may_close

COMMANDS = {
    "doctor": "check the installation: what is built, what runs, whether results are correct",
    "demo": "run a transformers FNet on real text, stock and patched",
}
_MODULES = {
    "doctor": "fnet_kernels.diagnostics.doctor",
    "demo": "fnet_kernels.demo.command",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, importing only its module.

    Args:
        argv: the arguments after `python -m fnet_kernels`; `sys.argv[1:]` if None.

    Returns:
        The exit status: 0; 1 if a check fails, or a package is missing; 2 if a value of the command
        is wrong; 130 after Ctrl-C.

    Raises:
        SystemExit: with status 2 on an unknown command or option, with 1 if the reader closes the
            pipe.

    >>> from fnet_kernels.cli import main
    >>> main(["doctor"])  # doctest: +ELLIPSIS
    [ok] fnet_kernels: ...
    0
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["bench"]:
        print("fnet_kernels bench: run `python -m bench` in the repository", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(
        prog="python -m fnet_kernels",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {name:8} {what}" for name, what in COMMANDS.items()),
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command", help="see below")
    command = parser.parse_args(argv[:1]).command
    try:
        return _run(command, argv[1:])
    except KeyboardInterrupt:
        print(f"fnet_kernels {command}: interrupted", file=sys.stderr)
        return 130  # as shells count


def _run(command: str, argv: Sequence[str]) -> int:
    try:
        module = importlib.import_module(_MODULES[command])
    except ImportError as error:
        print(f"fnet_kernels {command}: {error}", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(
        prog=f"python -m fnet_kernels {command}", description=COMMANDS[command]
    )
    module.add_arguments(parser)
    with pipe_may_close():
        status: int = module.run(parser.parse_args(argv))
    return status
