"""Whole models: FNet-Base and -Large against BERT-Base and -Large of Hugging Face transformers.

defines: SIZES, KINDS, PASSES, calls, compare, model_table

Random weights, no pre-training heads, no dropout, all parameters in one dtype. A training step is
forward, backward and AdamW; the loss is the mean square of the last hidden states.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from fnet_kernels import hf
from fnet_kernels._bench import cuda, memory, paper
from fnet_kernels._bench.setting import reason
from fnet_kernels._ops.load import DEVICES, NO_CUDA
from fnet_kernels._timing import interleave, wall_seconds

SIZES: dict[str, dict[str, int]] = {
    "Base": {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072},
    "Large": {"num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096},
}
KINDS = ("BERT", "FNet", "FNet ours")
PASSES = ("inference", "training step")


def _model(kind: str, size: str, positions: int) -> Any:
    from transformers import BertConfig, BertModel, FNetConfig, FNetModel

    shape: dict[str, Any] = {**SIZES[size], "max_position_embeddings": max(512, positions)}
    torch.manual_seed(0)
    if kind == "BERT":
        shape |= {"attn_implementation": "sdpa", "attention_probs_dropout_prob": 0.0}
        config = BertConfig(
            **shape,
            num_attention_heads=max(1, shape["hidden_size"] // 64),
            hidden_dropout_prob=0.0,
        )
        return BertModel(config)
    return FNetModel(FNetConfig(**shape, hidden_dropout_prob=0.0))


def _calls(
    model: Any, batch: int, seq: int, device: str, dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    """Inference, and a training step, of `model` on random tokens, [batch, seq]."""
    model.to(device=device, dtype=dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    chance = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 1000, (batch, seq), generator=chance).to(device)

    def inference() -> Any:
        model.eval()
        with torch.no_grad():
            return model(tokens).last_hidden_state

    def training_step() -> None:
        model.train()
        model(tokens).last_hidden_state.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return {"inference": inference, "training step": training_step}


def calls(
    name: str, batch: int, seq: int, device: str, dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    """{pass: call} of the model `name`, say "FNet ours-Base", each run once already."""
    kind, _, size = name.rpartition("-")
    model = _model(kind, size, seq)
    if kind == "FNet ours":
        hf.patch_fnet(model)
    made = _calls(model, batch, seq, device, dtype)
    for call in made.values():
        call()
    return made


def compare(
    size: str, batch: int, seq: int, device: str, dtype: torch.dtype, seconds: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Times and peak memory of the three models of one size: rows, and what is absent and why."""
    try:
        bert, fnet = _model("BERT", size, seq), _model("FNet", size, seq)
    except ImportError:
        return [], {f"models-{size}": "transformers is not installed"}
    absent = {} if device in DEVICES else {"FNet ours": NO_CUDA}
    models = {"BERT": bert, "FNet": fnet, "FNet ours": fnet}
    # Stock and ours share one model, patched and unpatched before each call.
    before = {"FNet": partial(hf.unpatch_fnet, fnet), "FNet ours": partial(hf.patch_fnet, fnet)}
    made = {}
    for kind in KINDS:
        if kind in absent:
            continue
        try:
            made[kind] = _calls(models[kind], batch, seq, device, dtype)
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
            least=3,
            most=30,
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


def model_table(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of whole models, the paper's figures beside them."""
    header = ["model", "pass", "ms/batch", "quartiles ms", "BERT / this", "peak MiB"]
    header += ["paper, V100", "paper, TPU v3", "paper, BERT / this"]
    body = []
    for row in rows:
        name, direction = row["model"].replace(" ours", ""), row["pass"]
        reported = paper.MODELS.get((name, direction))
        bert = paper.MODELS.get((name.replace("FNet", "BERT"), direction))
        tpu = f"{reported[1]:.0f}" if reported and reported[1] else ""
        peak, ratio = row.get("peak_mib"), row["bert_over_this"]
        body.append(
            [
                row["model"],
                direction,
                f"{row['median_ms']:.1f}",
                f"{row['q1_ms']:.1f} to {row['q3_ms']:.1f}",
                "" if ratio is None else f"{ratio:.2f}x",
                "" if peak is None else f"{peak:.0f}",
                f"{reported[0]:.0f}" if reported else "",
                tpu,
                f"{bert[0] / reported[0]:.2f}x" if reported and bert else "",
            ]
        )
    return header, body
