"""`python -m bench` and `python -m bench mixers`."""

import sys

from bench import command, mixers

if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(mixers.main(words[1:]) if words[:1] == ["mixers"] else command.main(words))
