"""The generated figures of README.md and docs/benchmarks.md follow the committed results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import figures, readme
from bench.gpu_figures import RIVALS, gpu_section
from bench.length_figures import length_section
from bench.recorded import Machine, in_rounds, when
from python_tests.helpers.paths import ROOT

FILES = sorted(readme.RESULTS.glob("*-targets.json"))


def results() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILES[0].read_text())
    return content


@pytest.mark.parametrize("name", readme.DOCUMENTS)
def test_the_documents_show_the_committed_results(name: str) -> None:
    document = (ROOT / name).read_text()
    made = {part: readme.blocks()[part] for part in readme.DOCUMENTS[name]}
    assert readme.updated(document, made) == document, "run python -m bench.readme"


def test_every_machine_is_shown() -> None:
    made = readme.blocks()
    for file in FILES:
        name = Machine.read(file).name
        assert name in made["speed"]
        assert f"### {name}" in made["figures"]


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert 60 <= len(lines) <= 95
    begin, end = (lines.index(mark) for mark in readme.marks("speed"))
    assert end - begin + 1 <= 12
    assert next(i for i, line in enumerate(lines, 1) if "x faster" in line) < 25


def test_figures_follow_the_results() -> None:
    changed = results()
    for v in changed["targets"]:
        target = next(t for t in figures.TARGETS if t.name == v["target"])
        v["measured"] = 2 * target.limit if target.at_least else target.limit / 2
    now = figures.machine_section(Machine(changed))
    assert f"All {len(changed['targets'])} targets are met" in now
    assert "self-attention" not in now, "without a sweep there is no figure"
    assert "whole model" not in now, "without models there is no figure"
    shape = changed["targets"][0]["shape"]
    missed = next(v for v in changed["targets"] if v["target"] == figures.FORMULA.name)
    missed |= {"measured": 5.4, "bounds": {figures.BOUNDS[1]: 3.25, figures.BOUNDS[0]: 9.0}}
    now = figures.machine_section(Machine(changed))
    assert f"1 of {len(changed['targets'])} targets is missed" in now
    assert f"| 15 of 16 | 5.40 at {shape}, {missed['isa']} | 3.2 |" in now
    assert "| 5.4x |" in figures.speed(Machine(changed), [])


def test_conditions_of_a_measurement() -> None:
    old = {"date": "2026-01-02T03:04:05", "load_at_start": [1.53, 1.0, 1.0]}
    assert when(old) == "2026-01-02, load average 1.5 at the start"
    assert when(old | {"others_at_start": 0.05}) == "2026-01-02", "the load was its own"
    assert when(old | {"others_at_start": 0.9}) == "2026-01-02, beside other programs"
    assert when(old | {"load_at_start": None}) == "2026-01-02", "a system that has no load"
    assert in_rounds({"rounds": 9})
    assert not in_rounds({"rounds": 3}), "an old record does not say it"
    assert in_rounds({"rounds": 3, "in_rounds": True})


def test_comparisons_without_two_cores_and_targets_without_results_are_told() -> None:
    changed = results()
    changed["cores"] = {"one": 1.95, "two": 1.4, "three": 1.9}
    changed["core_to_core_ns"] = {"one": [50, 60], "three": [50, 300]}
    changed["targets"] = [t for t in changed["targets"] if t["target"] != figures.MEMORY.name]
    now = " ".join(figures.machine_section(Machine(changed)).split())
    assert "2 of the 3 comparisons did not have two cores" in now
    assert "all the time: two; three." in now
    assert f"Not measured here: {figures.MEMORY.name}." in now or f"; {figures.MEMORY.name}" in now


def test_the_best_of_torch_in_a_step() -> None:
    changed = results()
    times = {f"ours {isa}": {"median_ms": 2.0} for isa in Machine(changed).isas}
    times |= {"fftn": {"median_ms": 9.0}, "rfft2 + mirror": {"median_ms": 7.0}}
    changed["times"] = {"forward + backward fp32 8x4x4": times, "backward alone fp32 8x4x4": {}}
    text = figures.machine_section(Machine(changed))
    assert "| forward and backward: best torch's time / ours | 3.50 " in text


def test_the_markers() -> None:
    with pytest.raises(ValueError, match="the document must contain"):
        readme.updated("no markers", {"cuda": ""})
    begin, end = readme.marks("cuda")
    with pytest.raises(ValueError, match="comes before"):
        readme.updated(f"{end}\n{begin}", {"cuda": ""})
    text = readme.updated(f"a\n{begin}\nold\n{end}\nb", {"cuda": "new"})
    assert text == f"a\n{begin}\nnew\n{end}\nb"


def test_attention_is_read_from_the_sweep() -> None:
    def rows(seq: int, over: float, peak: float) -> list[dict[str, Any]]:
        size = {"shape": f"1x{seq}x768", "seq": seq, "hidden": 768}
        ours = {"contestant": "ours x", "role": "ours", "over_ours": 1, "peak_mib": 10.0}
        rival = {"contestant": "self-attention", "role": "attention", "over_ours": over}
        rival |= {"rounds": 15, "in_rounds": seq < 16384}
        return [size | ours, size | rival | {"peak_mib": peak}]

    of = [*rows(512, 12.0, 30.0), *rows(2048, 20.0, 40.0), *rows(16384, 441.2, 50.0)]
    taken = {"date": "2026-01-02T03:04", "load_at_start": [1.5], "others_at_start": 0.1}
    sweep = {"machine": taken, "rows": of}
    text = " ".join(figures.machine_section(Machine(results(), sweep)).split())
    assert "12.0 times our time and 3.0 times our memory at 512 tokens, ~440 times" in text, (
        "three calls give two digits"
    )
    assert "16384 tokens (2026-01-02)." in text
    assert "2048 tokens" not in text


@pytest.mark.parametrize(
    ("caches", "said"),
    [
        ({"L2 Unified": "2048K", "L3 Unified": "32768K"}, "Inputs are cold;"),
        ({"L3 Unified": "491520K"}, "Inputs may stay in the last-level cache (480 MB);"),
        ({"L3 Unified": "131072K"}, "Inputs may stay in the last-level cache (128 MB);"),
        ({}, "Inputs may stay in the last-level cache (of unknown size);"),
    ],
)
def test_inputs_are_cold_only_beyond_the_caches(caches: dict[str, str], said: str) -> None:
    content = results()
    content["machine"]["caches"] = caches
    assert said in figures.machine_section(Machine(content))
    other = figures.speed(Machine(results()), [Machine(content)])
    assert (", warm: formula" in other) is ("may stay" in said)


def test_lengths_are_grouped_by_their_primes() -> None:
    machine = {
        "cpu": {"name": "A CPU"},
        "threads": 2,
        "isa": {"auto": "avx2"},
        "date": "2026-01-02",
        "load_at_start": [0.1],
    }

    def row(seq: int, ours: float, rival: float) -> dict[str, Any]:
        times = {"ours": ours, "ours_quartiles": [ours, 9.5], "rival_time": rival, "formula": 8.0}
        return {"seq": seq, "batch": 3, "rival": "fold", **times}

    rows = [row(16, 1.0, 2.0), row(17, 2.0, 3.0), row(34, 4.0, 1.0)]
    text = length_section({"machine": machine, "settings": {"hidden": 8}, "rows": rows})
    assert "Lengths 16 to 34 on A CPU, 2 threads, avx2, 2026-01-02" in text
    assert "| no prime factor above 13 | 1 | 1.00 | 1.00 | 8.00x | 2.00x |" in text
    assert "| composite, a factor above 13 | 1 | 4.00 | 4.00 | 2.00x | 0.25x |" in text
    assert "| prime, above 13 | 1 | 2.00 | 2.00 | 4.00x | 1.50x |" in text
    worst = text.partition("gains least")[2]
    assert worst.index("| 3 x 34 x 8 | 4.00 | 4.00 to 9.50 | 0.25x | fold |") < worst.index(
        "x 17 x"
    )


def gpu_run(**times: float) -> dict[str, Any]:
    row = {"model": "FNet patched", "dtype": "bfloat16", "median_ms": 10.5}
    row |= {"bert_over_this": 0.84, "stock_over_this": None}
    target = {"target": "layer / layer without mixing", "where": "2x4x8 bf16", "limit": "<= 1.05"}
    layers = {"layer: ours": 1.0, "layer: LayerNorm(x)": 0.97, "layer: no mixing": 0.87}
    every = {"forward": {"ours cuda": 1.0, **times}, "encoder layer, 2x4x8 bf16": layers}
    return {
        "machine": {"name": "A GPU", "torch": "2.11.0", "date": "2026-01-02T03:04:05"},
        "times": {
            what: {name: {"median_us": 7.0, "over_ours": over} for name, over in of.items()}
            for what, of in every.items()
        },
        "models": {"inference, eager": [row]},
        "targets": [target | {"measured": 1.03, "met": True}],
    }


def test_layers_and_models_of_a_gpu_are_shown() -> None:
    text = gpu_section(gpu_run())
    assert "| encoder layer, forward | ours | formula | self-attention | LayerNorm(x) |" in text
    assert "| 2x4x8 bf16 | 7.0 us |  |  | 0.97x | 0.87x |" in text
    assert "| FNet patched-Base | bfloat16 | inference, eager | 10.5 ms |  | 0.84x |" in text
    assert "| layer / layer with LayerNorm(x) alone | 2x4x8 bf16 | <= 1.05 | 1.03 |" in text
    assert "without mixing" not in text


def test_the_best_of_torch_needs_every_form() -> None:
    every = dict.fromkeys(RIVALS["best torch"], 4.0) | {"fold": 3.5}
    assert "| 4.00x | 4.00x | 3.50x |" in gpu_section(gpu_run(**every))
    del every["fold compiled"]
    assert "| 4.00x | 4.00x | not timed |" in gpu_section(gpu_run(**every))


def test_whole_models_are_compared_with_stock() -> None:
    def row(model: str, dtype: str, ms: float) -> dict[str, Any]:
        about = {"task": "inference", "size": "Base", "batch": 4, "seq": 512, "rounds": 3}
        ratios = {"bert_over_this": None, "stock_over_this": 400 / ms}
        return {"model": model, "dtype": dtype, "median_ms": ms, **about, **ratios}

    models = [
        row("FNet", "float32", 400.0),
        row("FNet patched", "float32", 320.0),
        row("FNet patched", "bfloat16", 160.0),
    ]
    taken = {"date": "2026-01-02T03:04:05", "load_at_start": [0.1]}

    def machine_of(*rows: dict[str, Any]) -> Machine:
        return Machine(results(), models={"machine": taken, "rows": rows})

    machine = machine_of(*models)
    said = " ".join(figures.highlights([machine]).split())
    assert "**In inference, FNet-Base of transformers runs 2.5x faster** patched in bf" in said
    assert "and 1.25x faster patched in float32; the stock model refuses bfloat16." in said
    text = figures.speed(machine, [])
    assert "stock 400, patched 320, patched bf16 160." in text
    assert "BERT" not in text
    bert = [row("BERT", "float32", 600.0), row("BERT", "bfloat16", 300.0)]
    text = figures.speed(machine_of(*models, *bert), [])
    assert "; BERT-Base 600, bf16 300." in text
    assert "at least 3 rounds; 2026-01-02:\n\n| whole model" in figures.machine_section(machine)
    without = machine_of(*models[:2])
    assert "FNet-Base" not in figures.highlights([without]) + figures.speed(without, [])


def test_cuda_figures_come_from_the_kernel_report() -> None:
    report = json.loads((readme.RESULTS / "kernel_report.json").read_text())
    assert "| 68 |" in figures.cuda_block(report)
    report["passes"]["512x768 bfloat16, backward"]["bytes_per_element"] += 1
    assert figures.cuda_block(report) != readme.blocks()["cuda"]
    report["audit"]["row_fft 512x768 float32"]["sectors"]["y write"] = 2.0
    with pytest.raises(ValueError, match="y write moves 2"):
        figures.cuda_block(report)
