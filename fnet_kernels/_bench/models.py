"""Whole models: FNet-Base and -Large against BERT-Base and -Large of Hugging Face transformers.

defines: NAMES, PAPER, calls, compare

Random weights, no pre-training heads, no dropout. A training step is forward, backward and AdamW;
the loss is the mean square of the last hidden states.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from fnet_kernels import hf
from fnet_kernels._bench import cuda, memory
from fnet_kernels._library import DEVICES, NO_CUDA
from fnet_kernels._timing import interleave, wall_seconds

SIZES: dict[str, dict[str, int]] = {
    "Base": {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072},
    "Large": {"num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096},
}
KINDS = ("BERT", "FNet", "FNet ours")
PASSES = ("inference", "training step")

#: Milliseconds per batch at 512 tokens per sequence, as reported in the FNet paper
#: (arXiv 2105.03824): {(model, pass): (V100, TPU v3 or None)}.
PAPER: dict[tuple[str, str], tuple[float, float | None]] = {
    ("BERT-Base", "training step"): (305, 213),
    ("FNet-Base", "training step"): (169, 128),
    ("BERT-Base", "inference"): (82, None),
    ("FNet-Base", "inference"): (46, None),
}


ABOUT_PAPER = "paper: ms/batch at 512 tokens as reported in arXiv 2105.03824, on batches of its own"


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


def _calls(model: Any, batch: int, seq: int, device: str) -> dict[str, Callable[[], Any]]:
    """Inference, and a training step, of `model` on random tokens, [batch, seq]."""
    model.to(device)
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


def calls(name: str, batch: int, seq: int, device: str) -> dict[str, Callable[[], Any]]:
    """{pass: call} of the model `name`, say "FNet ours-Base", each run once already."""
    kind, _, size = name.rpartition("-")
    model = _model(kind, size, seq)
    if kind == "FNet ours":
        hf.patch_fnet(model)
    made = _calls(model, batch, seq, device)
    for call in made.values():
        call()
    return made


def compare(
    size: str, batch: int, seq: int, device: str, seconds: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Times and peak memory of the three models of one size: rows, and what is absent and why."""
    try:
        bert, fnet = _model("BERT", size, seq), _model("FNet", size, seq)
    except ImportError:
        return [], {f"models-{size}": "transformers is not installed"}
    ours_here = device in DEVICES
    absent = {} if ours_here else {f"FNet ours-{size}": NO_CUDA}
    kinds = KINDS if ours_here else KINDS[:2]
    models = {"BERT": bert, "FNet": fnet, "FNet ours": fnet}
    made = {kind: _calls(models[kind], batch, seq, device) for kind in kinds}
    # Stock and ours share one model, patched and unpatched before each call.
    before = {"FNet": partial(hf.unpatch_fnet, fnet), "FNet ours": partial(hf.patch_fnet, fnet)}
    rows: list[dict[str, Any]] = []
    for direction in PASSES:
        times = interleave(
            {kind: made[kind][direction] for kind in kinds},
            before={kind: before[kind] for kind in kinds if kind in before},
            seconds=seconds,
            least=3,
            most=30,
            stopwatch=cuda.seconds if device == "cuda" else wall_seconds,
        )
        for kind, timing in times.items():
            low, middle, high = (1e3 * t for t in timing.quartiles)
            row: dict[str, Any] = {"model": f"{kind}-{size}", "pass": direction}
            row |= {"batch": batch, "seq": seq, "rounds": len(timing.seconds)}
            row |= {"q1_ms": low, "median_ms": middle, "q3_ms": high}
            row["bert_over_this"] = times["BERT"].over(timing)[1]
            if device == "cuda":
                before.get(kind, lambda: None)()
                row["peak_mib"] = cuda.peak(made[kind][direction]) / 2**20
            rows.append(row)
    made.clear()
    models.clear()
    del bert, fnet, before
    gc.collect()  # the child processes below need the memory
    if device == "cpu":
        for kind in kinds:
            peaks = memory.model_peaks(f"{kind}-{size}", batch, seq, torch.get_num_threads())
            if isinstance(peaks, str):
                absent[f"peak memory of {kind}-{size}"] = peaks
                continue
            for row in rows:
                if row["model"] == f"{kind}-{size}":
                    row["peak_mib"] = peaks[row["pass"]] / 2**20
    return rows, absent


def model_table(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of whole models, the paper's figures beside them."""
    header = ["model", "pass", "ms/batch", "quartiles ms", "BERT / this", "peak MiB"]
    header += ["paper, V100", "paper, TPU v3", "paper, BERT / this"]
    body = []
    for row in rows:
        name, direction = row["model"].replace(" ours", ""), row["pass"]
        paper = PAPER.get((name, direction))
        bert = PAPER.get((name.replace("FNet", "BERT"), direction))
        tpu = f"{paper[1]:.0f}" if paper and paper[1] else ""
        peak = row.get("peak_mib")
        body.append(
            [
                row["model"],
                direction,
                f"{row['median_ms']:.1f}",
                f"{row['q1_ms']:.1f} to {row['q3_ms']:.1f}",
                f"{row['bert_over_this']:.2f}x",
                "" if peak is None else f"{peak:.0f}",
                f"{paper[0]:.0f}" if paper else "",
                tpu,
                f"{bert[0] / paper[0]:.2f}x" if paper and bert else "",
            ]
        )
    return header, body
