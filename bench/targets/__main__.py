"""`python -m bench.targets`."""

from bench.arguments import run_main
from bench.targets.command import main

if __name__ == "__main__":
    run_main(main)
