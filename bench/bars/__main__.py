"""`python -m bench.bars`."""

import sys

from bench.bars.command import main

if __name__ == "__main__":
    sys.exit(main())
