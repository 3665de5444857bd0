"""`python -m bench`, `python -m bench mixers` and `python -m bench sweep`."""

import sys

from bench import command, mixers, sweep

COMMANDS = {"mixers": mixers.main, "sweep": sweep.main}

if __name__ == "__main__":
    words = sys.argv[1:]
    named = COMMANDS.get(words[0]) if words else None
    sys.exit(named(words[1:]) if named else command.main(words))
