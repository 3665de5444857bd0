"""`python -m bench.targets`."""

import sys

from bench.targets.command import main

if __name__ == "__main__":
    sys.exit(main())
