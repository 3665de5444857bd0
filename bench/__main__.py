"""`python -m bench`, `python -m bench mixers` and `python -m bench cores`."""

import sys

from bench import command, cores, mixers

if __name__ == "__main__":
    words = sys.argv[1:]
    commands = {"mixers": mixers.main, "cores": cores.main}
    chosen = commands.get(words[0]) if words else None
    sys.exit(chosen(words[1:]) if chosen else command.main(words))
