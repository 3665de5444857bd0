"""What is kept between calls is bounded, and `clear_caches` frees it."""

from __future__ import annotations

import threading

import torch

from fnet_kernels import clear_caches, fourier_mix
from python_tests.helpers.forks import Forks

#: Resident memory of a process that uses thousands of lengths, and after clear_caches.
CHILD = """
import ctypes
from pathlib import Path
import torch
from fnet_kernels import clear_caches, fourier_mix

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024

torch.set_num_threads(1)
fourier_mix(torch.zeros(4, 4))
before = resident()
smooth = [2**a * 3**b * 5**c for a in range(18) for b in range(11) for c in range(8)]
for length in sorted(n for n in smooth if 2**12 < n <= 2**18):
    fourier_mix(torch.zeros(1, length))
primes = [n for n in range(30011, 32003, 2) if all(n % p for p in range(3, 180, 2))]
for length in primes:
    fourier_mix(torch.zeros(length, 32))
ctypes.CDLL(None).malloc_trim(0)  # malloc, too, keeps what is freed
kept = resident()
clear_caches()
ctypes.CDLL(None).malloc_trim(0)
print(kept - before, resident() - before)
"""


def test_tables_are_bounded_and_freed(forks: Forks) -> None:
    child = forks.run(CHILD)
    assert child.returncode == 0, child.stderr
    full, cleared = map(float, child.stdout.split())
    assert full < 250, f"{full:.0f} MB are kept"
    assert cleared < full - 20, f"{full:.0f} MB before, {cleared:.0f} MB after clear_caches"


def test_results_stay_the_same_while_another_thread_clears() -> None:
    x = torch.randn(2, 48, 36)
    expected = fourier_mix(x)
    stop = threading.Event()

    def clear() -> None:
        while not stop.is_set():
            clear_caches()

    thread = threading.Thread(target=clear)
    thread.start()
    try:
        assert all(torch.equal(fourier_mix(x), expected) for _ in range(300))
    finally:
        stop.set()
        thread.join()
