"""A child of `fork()` can call what threads of its parent are calling, as data loaders fork."""

from __future__ import annotations

import os

from python_tests.helpers.forks import Forks

#: The exit status of a child that makes a call. SIGALRM ends one that hangs.
STATUS_OF_CHILD = """
import os, signal

def status_of_child(call):
    child = os.fork()
    if not child:
        signal.alarm(60)
        call()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""

#: Forks while threads look up tables.
IN_LATER_CALLS = f"""{STATUS_OF_CHILD}
import sys, threading
import torch
from fnet_kernels import fourier_mix
from fnet_kernels._ops.load import operators

lengths = [n for n in range(1009, 2000) if n % 2 and n % 3]
stop = threading.Event()

def call():
    operators.cpu_varlen_plan(lengths, 1, 8, torch.float32)
    fourier_mix(torch.zeros(1, 5, 8))

def repeat():
    while not stop.is_set():
        call()

torch.set_num_threads(1)
threads = [threading.Thread(target=repeat) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(20):
    status = status_of_child(call)
    if status:
        break
stop.set()
for thread in threads:
    thread.join()
sys.exit(status and f"child {{number}} ends with {{status}}")
"""

#: Forks while a thread's first call writes a warning to a full pipe, which `cat` empties later.
IN_THE_FIRST_CALL = f"""{STATUS_OF_CHILD}
import subprocess, sys, threading, time
from fnet_kernels._ops.load import operators

def call():
    operators.cpu_isa()

reads, writes = os.pipe()
os.set_blocking(writes, False)
try:
    while True:
        os.write(writes, bytes(4096))
except BlockingIOError:
    os.set_blocking(writes, True)
stderr = os.dup(2)
reader = subprocess.Popen("sleep 1; exec cat", shell=True, stdin=reads, stdout=subprocess.DEVNULL)
os.dup2(writes, 2)
thread = threading.Thread(target=call)
thread.start()
time.sleep(0.2)
status = status_of_child(call)
thread.join()
os.dup2(stderr, 2)
os.close(writes)
reader.wait()
sys.exit(status and f"the child ends with {{status}}")
"""


def test_forks_during_calls(forks: Forks) -> None:
    done = forks.run(IN_LATER_CALLS)
    assert done.returncode == 0, done.stderr


def test_a_fork_during_the_first_call(forks: Forks) -> None:
    done = forks.run(IN_THE_FIRST_CALL, env={**os.environ, "FNET_CPU_ISA": "abacus"})
    assert done.returncode == 0, done.stderr
