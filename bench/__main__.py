"""`python -m bench` and its subcommands."""

import sys

from bench import command, cores, lengths, mixers, sweep, threads, varlen
from bench.arguments import run_main

COMMANDS = {
    "cores": cores.main,
    "lengths": lengths.main,
    "mixers": mixers.main,
    "sweep": sweep.main,
    "threads": threads.main,
    "varlen": varlen.main,
}

if __name__ == "__main__":
    words = sys.argv[1:]
    named = COMMANDS.get(words[0]) if words else None
    if named:
        run_main(named, words[1:])
    run_main(command.main, words, COMMANDS)
