"""The child process that measures peak memory: it prints the bytes of one call."""

from __future__ import annotations

import json
import sys

import torch

from bench.measure import memory
from bench.measure.pages import pages
from examples.latency_budget.latency import forward
from examples.latency_budget.sizes import Size


def main() -> None:
    """The second call is measured: the first makes plans and tables."""
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    if not pages("returned"):
        raise SystemExit("this C library has no mallopt to make malloc return freed memory")
    call = forward(Size(*task["size"]), task["batch"], task["seq"])
    call()
    print(memory.peak(call))


if __name__ == "__main__":
    main()
