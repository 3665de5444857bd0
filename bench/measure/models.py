"""Times and peak memory of whole models: FNet, stock and patched, against BERT.

defines: compare
"""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import torch

from bench.contestants.models import KINDS, PASSES, make, passes_of
from bench.contestants.setting import reason
from bench.measure import cuda, memory
from fnet_kernels import hf
from fnet_kernels._ops.load import CUDA_UNAVAILABLE_REASON, DEVICES
from fnet_kernels._sizes import SIZES
from fnet_kernels._timing import interleave, wall_seconds


def compare(
    size: str, batch: int, seq: int, device: str, dtype: torch.dtype, seconds: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Times and peak memory of the three models of one size: rows, and what is absent and why."""
    try:
        bert, fnet = make("BERT", SIZES[size], seq), make("FNet", SIZES[size], seq)
    except ImportError:
        return [], {f"models-{size}": "transformers is not installed"}
    absent = {} if device in DEVICES else {"FNet ours": CUDA_UNAVAILABLE_REASON}
    models = {"BERT": bert, "FNet": fnet, "FNet ours": fnet}
    # Stock and ours share one model, patched and unpatched before each call.
    before = {"FNet": partial(hf.unpatch_fnet, fnet), "FNet ours": partial(hf.patch_fnet, fnet)}
    made = {}
    for kind in KINDS:
        if kind in absent:
            continue
        try:
            made[kind] = passes_of(models[kind], batch, seq, device, dtype)
            before.get(kind, lambda: None)()
            made[kind]["inference"]()
        except Exception as error:  # out of memory, or a dtype that stock FNet refuses
            absent[kind] = reason(error)
            made.pop(kind, None)
    rows: list[dict[str, Any]] = []
    for direction in PASSES:
        running = {kind: made[kind][direction] for kind in made if kind not in absent}
        times = interleave(
            running,
            before={kind: before[kind] for kind in running if kind in before},
            seconds=seconds,
            minimum=3,
            maximum=30,
            stopwatch=cuda.seconds if device == "cuda" else wall_seconds,
            failed=absent,
        )
        for kind, timing in times.items():
            low, middle, high = (1e3 * t for t in timing.quartiles)
            row: dict[str, Any] = {"model": f"{kind}-{size}", "pass": direction}
            row |= {"batch": batch, "seq": seq, "rounds": len(timing.seconds)}
            row |= {"dtype": str(dtype).removeprefix("torch.")}
            row |= {"q1_ms": low, "median_ms": middle, "q3_ms": high}
            row["bert_over_this"] = times["BERT"].over(timing)[1] if "BERT" in times else None
            if device == "cuda":
                before.get(kind, lambda: None)()
                row["peak_mib"] = cuda.peak(made[kind][direction]) / 2**20
            rows.append(row)
    kinds = [kind for kind in made if kind not in absent]
    made.clear()
    models.clear()
    del bert, fnet, before
    gc.collect()  # the child processes below need the memory
    absent = {f"{kind}-{size}": why for kind, why in absent.items()}
    for name in (f"{kind}-{size}" for kind in kinds if device == "cpu"):
        peaks = memory.model_peaks(name, batch, seq, dtype, torch.get_num_threads())
        if isinstance(peaks, str):
            absent[f"peak memory of {name}"] = peaks
            continue
        for row in rows:
            if row["model"] == name:
                row["peak_mib"] = peaks[row["pass"]] / 2**20
    return rows, absent
