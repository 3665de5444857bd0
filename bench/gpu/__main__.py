"""`python -m bench.gpu`."""

from bench.arguments import run_main
from bench.gpu.command import main

if __name__ == "__main__":
    run_main(main)
