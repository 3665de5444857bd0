"""The generated figures of README.md and docs/benchmarks.md follow the committed results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench import figures, readme
from bench.recorded import Machine
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
        return [size | ours, size | rival | {"peak_mib": peak}]

    sweep = [*rows(512, 12.0, 30.0), *rows(2048, 20.0, 40.0), *rows(16384, 70.5, 50.0)]
    text = figures.machine_section(Machine(results(), sweep))
    assert "12.0 times our time and 3.0 times our memory at 512 tokens,\n70.5 times" in text
    assert "2048 tokens" not in text


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
    machine = Machine(results(), models=models)
    assert "**FNet-Base of transformers runs 2.5x faster**" in figures.highlights([machine])
    assert "the whole model gains 1.25x" in figures.highlights([machine])
    text = figures.speed(machine, [])
    assert "stock 400, patched 320, patched bf16 160." in text
    assert "BERT" not in text
    bert = [row("BERT", "float32", 600.0), row("BERT", "bfloat16", 300.0)]
    text = figures.speed(Machine(results(), models=[*models, *bert]), [])
    assert "; BERT-Base 600, bf16 300." in text
    without = Machine(results(), models=models[:2])
    assert "FNet-Base" not in figures.highlights([without]) + figures.speed(without, [])


def test_cuda_figures_come_from_the_kernel_report() -> None:
    report = json.loads((readme.RESULTS / "kernel_report.json").read_text())
    assert "| 68 |" in figures.cuda_block(report)
    report["audit"]["seq_fft 512x768 bfloat16"]["bytes_per_element"] += 1
    assert figures.cuda_block(report) != readme.blocks()["cuda"]
    report["audit"]["row_fft 512x768 float32"]["sectors"]["y write"] = 2.0
    with pytest.raises(ValueError, match="y write moves 2"):
        figures.cuda_block(report)
