"""`python -m bench`, and `python -m bench NAME` for `python -m bench.NAME`."""

import runpy
import sys

from bench import command
from bench.arguments import run_main

COMMANDS = (
    "cores",
    "gpu",
    "host",
    "instructions",
    "lengths",
    "mixers",
    "models",
    "passes",
    "record",
    "sweep",
    "targets",
    "threads",
    "varlen",
)

if __name__ == "__main__":
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        sys.argv[1:] = words[1:]
        runpy.run_module(f"bench.{words[0]}", run_name="__main__", alter_sys=True)
    run_main(command.main, words, COMMANDS)
