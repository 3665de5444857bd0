"""`python -m bench` and its subcommands."""

import sys

from bench import command, cores, lengths, mixers, sweep, threads, varlen

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
    sys.exit(named(words[1:]) if named else command.main(words))
