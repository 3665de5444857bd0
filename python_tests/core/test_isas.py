"""Which instruction sets a processor gets, best first."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import pytest

core = pytest.importorskip("fnet_core_test", reason="not built: run `make core-test`")

#: The command of an emulated core (csrc/testing/served).
SERVED = os.environ.get("FNET_SERVED_CORE", "")
EMULATED = {"-cpu max": ["neon_bf16", "neon"], "-cpu cortex-a72": ["neon"]}
#: What an instruction set needs: its flags in /proc/cpuinfo.
NEEDS = {
    "x86_64": {
        "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "f16c"},
        "avx2": {"avx2", "fma", "f16c"},
        "portable": set(),
    },
    "aarch64": {"neon_bf16": {"bf16"}, "neon": set()},
}


@pytest.mark.skipif(bool(SERVED), reason="the processor is emulated")
def test_this_processor() -> None:
    needs = NEEDS.get(platform.machine(), {"portable": set()})
    info = Path("/proc/cpuinfo").read_text()
    flags = set(re.findall(r"\w+", "".join(re.findall(r"^(?:flags|Features)\s*:.*", info, re.M))))
    assert core.isas().split(",") == [isa for isa, needed in needs.items() if needed <= flags]


@pytest.mark.skipif("qemu-aarch64" not in SERVED, reason="no Arm processor is emulated")
def test_emulated_processors() -> None:
    """FEAT_BF16 is what distinguishes them."""
    (cpu,) = re.findall(r"-cpu \S+", SERVED)
    assert core.isas().split(",") == EMULATED[cpu]


def test_unknown_names_are_refused() -> None:
    best = core.isas().split(",")[0]
    assert core.set_isa(best)
    assert not core.set_isa("abacus")
    assert core.set_isa("auto")
