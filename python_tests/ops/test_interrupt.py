"""Ctrl-C in the middle of a call ends the call, and the process goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

CHILD = """
import signal
import torch
from fnet_kernels import fused_fourier_mix, reference

x = torch.randn(8, 512, 512, requires_grad=True)
small = torch.randn(2, 12, 20)
interrupted = 0
signal.alarm(120)  # a child that nobody interrupts ends
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores SIGINT
while interrupted < 3:
    try:
        print("running", flush=True)
        while True:
            fused_fourier_mix(x).sum().backward()
    except KeyboardInterrupt:
        interrupted += 1
        error = (fused_fourier_mix(small) - reference.fused_fourier_mix(small)).abs().max()
        print("right" if error < 1e-4 else f"wrong by {error}", flush=True)
"""


def test_ctrl_c_in_a_call_leaves_a_usable_process() -> None:
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            for _ in range(3):
                assert child.stdout.readline() == "running\n"
                time.sleep(0.2)  # into a call
                child.send_signal(signal.SIGINT)
                assert child.stdout.readline() == "right\n"
            assert child.wait(60) == 0
        finally:
            child.kill()
