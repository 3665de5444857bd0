"""Simulates the passes of the kernel report, and counts what their kernels access.

defines: audit, plans, SHAPES
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from tools.cuda_devices import DEVICES
from tools.cuda_sim import cuda_sim_module, store
from tools.kernel_report import Figures
from tools.kernel_report.passes import PASSES, Pass

#: The shapes of bench/gpu/command.py.
SHAPES = ((32, 512, 768), (4, 4096, 768), (8, 2048, 768), (32, 512, 1024))
DEVICE = DEVICES["H100"].facts
NORM, RESIDUAL = 2, 1  # values of Epilogue


def audit() -> tuple[dict[str, Figures], dict[str, Figures]]:
    """Simulate all passes.

    Returns:
        The figures of kernels by `Pass.kernel`, and those of passes by `Pass.name`.
    """
    module = cuda_sim_module("fnet_cuda_test")
    kernels: dict[str, Figures] = {}
    passes: dict[str, Figures] = {}
    for one in PASSES:
        launches = simulated(module, one)
        own = {}
        for kernel in dict.fromkeys(launch["kernel"] for launch in launches):
            of_kernel = [launch for launch in launches if launch["kernel"] == kernel]
            own[kernel] = figures_of(of_kernel, one.elements)
            # The backward pass runs the kernels of the forward pass after norm_grad.
            kernels.setdefault(one.kernel(kernel), own[kernel])
        passes[one.name] = {
            "bytes_per_element": sum(f["bytes_per_element"] for f in own.values()),
            "least": one.least_bytes / one.elements,
            "most": (1 + one.what.slack) * one.least_bytes / one.elements,
        }
    return kernels, passes


def simulated(module: Any, one: Pass) -> list[Figures]:
    """The launches of a pass."""
    chance = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return store(chance.standard_normal(shape), one.dtype)

    kind, row = one.what, numbers(one.hidden)
    rows = one.transformed // one.hidden
    x = numbers(1, rows, one.hidden)
    norm = (NORM, 1.0, 1e-12, row, row)
    if kind.lengths:
        starts = [0, *accumulate([one.seq] * len(one.lengths) if kind.padded else one.lengths)]
        sequences = [
            (start * one.hidden, start, length, one.seq if kind.padded else length, end)
            for start, length, end in zip(starts, one.lengths, starts[1:], strict=False)
        ]
        output = module.mix_varlen(
            x[0], one.hidden, one.dtype, *norm, kind.padded, False, sequences, rows, DEVICE, 0
        )
    elif kind.backward:
        rstd = np.ones((1, rows), np.float32)
        mean = rstd if kind.norm_first else None
        output = module.norm_mix_grad(
            x, x, rstd, one.dtype, 1.0, row, True, DEVICE, 0, kind.rms, mean
        )
    else:
        plain = kind.norm_first or kind.residual
        settings = (RESIDUAL, *norm[1:]) if plain else norm
        residual = x if kind.residual else None
        block = (kind.rms, kind.norm_first, residual)
        output = module.mix(
            x, one.hidden, one.dtype, *settings, None, False, False, DEVICE, 0, *block
        )
    assert output["status"] == 0
    assert not any(launch["errors"] for launch in output["launches"])
    return list(output["launches"])


def figures_of(launches: list[Figures], elements: int) -> Figures:
    """The figures of the launches of one kernel.

    Ratios refer to the minimum for its accesses; `moved` is the bytes of whole sectors per element.
    """
    blocks = sum(int(np.prod(launch["grid"])) for launch in launches)
    accesses = [access for launch in launches for access in launch["accesses"]]
    shared = [a for a in accesses if a["buffer"] == "shared"]
    buffers: dict[str, list[Figures]] = {}
    for access in accesses:
        if access["buffer"] != "shared":
            name = f"{access['buffer']} {'write' if access['write'] else 'read'}"
            buffers.setdefault(name, []).append(access)
    # Parameters and tables stay in L1, so they cause no traffic.
    traffic = {n: a for n, a in buffers.items() if n.split()[0] not in ("table", "weight", "bias")}
    return {
        "blocks": blocks,
        "bytes_per_element": sum(a["bytes"] for b in traffic.values() for a in b) / elements,
        "moved": {n: 32 * sum(a["transactions"] for a in b) / elements for n, b in traffic.items()},
        "sectors": {name: ratio(of_buffer) for name, of_buffer in buffers.items()},
        "wavefronts": ratio(shared) if shared else 1.0,
        "worst_site": max((ratio([a]) for a in shared), default=1.0),
        "wavefronts_per_1000_elements": 1e3 * sum(a["transactions"] for a in shared) / elements,
        "barriers_per_block": sum(launch["barriers"] for launch in launches) / blocks,
    }


def ratio(accesses: list[Figures]) -> float:
    """Transactions over their minimum."""
    return float(sum(a["transactions"] for a in accesses) / sum(a["ideal"] for a in accesses))


def plans() -> dict[str, dict[str, int]]:
    """The number of slices of the shapes that `python -m bench.gpu` measures, by device."""
    module = cuda_sim_module("fnet_cuda_test")
    return {
        name: {
            f"{batch}x{seq}x{hidden} {dtype}": len(
                module.slices(batch, seq, hidden, dtype, device.facts)
            )
            for batch, seq, hidden in SHAPES
            for dtype in ("bfloat16", "float32")
        }
        for name, device in DEVICES.items()
    }
