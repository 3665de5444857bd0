"""The page of results says what the results say: means, ranges, what separates, what is missing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from bench.readme import marks
from examples.report import __main__ as command
from examples.report.budget import above_floors, budget_section, pareto, verdicts
from examples.report.page import page
from examples.report.readme import BLOCK, MAKER
from examples.report.rows import Row, groups, rows_of, separation
from examples.report.summary import summary
from examples.studies.table import STUDIES
from python_tests.helpers.paths import ROOT

ACCURACIES = {
    "fourier": (0.75, 0.76, 0.77),
    "hartley": (0.74, 0.75, 0.765),
    "attention": (0.70, 0.71, 0.72),
    "none": (0.55, 0.56, 0.57),
}


def result(name: str, accuracies: dict[str, tuple[float, ...]]) -> dict[str, Any]:
    runs = [
        {
            "mixer": mixer,
            "options": f"--mixer {mixer}",
            "seed": seed,
            "accuracy": accuracy,
            "validation": accuracy,
            "steps": 1000,
            "seconds": 100.0 + seed,
            "tokens": 10**6,
            "parameters": 123456,
            "peak_mib": 300.0,
            "load": 0.5 + seed,
            "resumed": 0,
        }
        for mixer, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    study = STUDIES[name]
    counts = {"train": 5000, "validation": 485, "test": 2189}
    return {
        "study": name,
        "question": study.question,
        "command": study.command(),
        "metric": "accuracy",
        "dates": ["2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00"],
        "machines": [{"cpu": "a processor", "cpus": 2, "jobs": 2}],
        "devices": ["cpu"],
        "threads": [1],
        "versions": [{"torch": "2.13.0"}],
        "data": {"name": "r8", "sha256": "0123456789abcdef", "classes": 8, **counts},
        "floors": {"majority class": [0.495]},
        "seeds": [0, 1, 2],
        "runs": runs,
    }


def rows(**accuracies: tuple[float, ...]) -> list[Row]:
    return rows_of(result("r8", accuracies))


def section(text: str, name: str) -> str:
    return text.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_the_summary_has_a_column_per_study_and_marks_what_is_above_the_bag_of_tokens() -> None:
    one = {"hartley": (0.9,)}  # a seed alone is not compared
    mails = result("mails", {"fourier": (0.56, 0.9, 0.9), **one, "none": (0.55, 0.56, 0.57)})
    results = {"r8": result("r8", ACCURACIES), "mails": mails}
    studies = [STUDIES[name] for name in ("r8", "mails", "r8-pairs")]
    lines = summary(studies, {**results, "padding": mails}).splitlines()
    assert lines[2:4] == ["| mixer | r8 | mails |", "| --- | --- | --- |"]
    assert lines[4:9] == [
        "| fourier | **76.0** | 78.7 |",  # a seed of mails is not above
        "| hartley | **75.2** | 90.0 |",
        "| attention | **71.0** |  |",
        "| none (bag of tokens) | 56.0 | 56.0 |",
        "| *majority class* | 49.5 | 49.5 |",
    ]
    assert "Equal time: mails;" in " ".join(lines[9:])
    assert summary(studies, {}) == ""


def test_a_section_names_the_variants_that_have_not_run() -> None:
    names = [variant.name for variant in STUDIES["r8"].variants]
    one, *others = names[::-1]
    part = page([STUDIES["r8"]], {"r8": result("r8", dict.fromkeys(others, (0.5, 0.6, 0.7)))}, {})
    assert f"Not yet run: {one}." in section(part, "r8").splitlines()
    whole = page([STUDIES["r8"]], {"r8": result("r8", dict.fromkeys(names, (0.5, 0.6, 0.7)))}, {})
    assert "Not yet run" not in whole


def test_a_row_has_the_mean_and_the_range() -> None:
    text = section(page(list(STUDIES.values()), {"r8": result("r8", ACCURACIES)}, {}), "r8")
    cells = {
        line.split(" | ")[0].strip("| "): [cell.strip(" |") for cell in line.split(" | ")[1:]]
        for line in text.splitlines()
        if line.startswith("| ")
    }
    assert cells["fourier"] == [
        "76.0", "75.0 to 77.0", "3", "123,456", "1,000", "101", "9,901", "76.7",
    ]  # fmt: skip
    assert cells["none (bag of tokens)"][:2] == ["56.0", "55.0 to 57.0"]
    assert cells["none (bag of tokens)"][-1] == "49.3"
    assert cells["*majority class*"][0] == "49.5"
    assert "as reported" in cells["mixer"][-1]
    assert [name for name in cells if name not in ("mixer", "---")] == [
        "fourier", "hartley", "attention", "none (bag of tokens)", "*majority class*",
    ]  # fmt: skip
    assert "SHA-256 `0123456789ab`" in text
    assert "2 runs at a time, load average 0.5 to 2.5;" in " ".join(text.split())
    assert "1 thread a run, wall time;" in " ".join(text.split())


def test_times_that_differ_too_much_are_not_shown() -> None:
    told = result("r8", ACCURACIES)
    told["runs"][0]["seconds"] = 50.0  # 101 and 102 in the other seeds
    text = section(page(list(STUDIES.values()), {"r8": told}, {}), "r8")
    assert "Times are not shown: those of one variant differ by more than a factor of two" in text
    assert "| fourier | 76.0 | 75.0 to 77.0 | 3 | 123,456 | 1,000 |  |  | 76.7 |" in text
    told["runs"][0]["seconds"] = 51.0
    text = section(page(list(STUDIES.values()), {"r8": told}, {}), "r8")
    assert "Times are not shown" not in text
    assert "| fourier | 76.0 | 75.0 to 77.0 | 3 | 123,456 | 1,000 | 101 | 9,901 |" in text


def test_the_linear_model_is_a_floor_of_its_data(tmp_path: Path) -> None:
    for name, digest in (("r8", "a" * 64), ("mails", "b" * 64)):
        told = result(name, ACCURACIES)
        told["data"]["sha256"] = digest
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    sets = [{"data": {"name": "r8", "sha256": "a" * 64}, "accuracy": 0.971}]
    (tmp_path / "linear.json").write_text(json.dumps({"sets": sets}))
    found = command.read(tmp_path)
    assert set(found) == {"r8", "mails"}
    assert found["r8"]["floors"] == {"linear model of words": [0.971], "majority class": [0.495]}
    assert found["mails"]["floors"] == {"majority class": [0.495]}
    lengths = budget(model("Transformer", 9.0, 0.7, 0.8))
    lengths["lengths"][0]["data"] = {"name": "r8", "sha256": "a" * 64}
    (tmp_path / "latency-budget.json").write_text(json.dumps(lengths))
    told = budget_section(command.read(tmp_path)["latency-budget"], "")
    assert re.search(r"\| \*linear model of words\* \|[ |]*\| 97.1 \| 97.1 \|", told)
    text = section(page(list(STUDIES.values()), found, {}), "r8")
    assert re.search(r"\| \*linear model of words\* \| 97.1 \|[ |]*\n\| fourier ", text)
    assert "By the ranges: linear model of words; above fourier, hartley;" in text


def test_the_clock_is_named() -> None:
    told = result("r8", ACCURACIES)
    for run in told["runs"][1:]:
        run["clock"] = "processor"
    text = section(page(list(STUDIES.values()), {"r8": told}, {}), "r8")
    assert "1 thread a run, wall or CPU time;" in " ".join(text.split())


def test_the_line_below_says_what_separates() -> None:
    said = separation(rows(**ACCURACIES))
    assert said == (
        "By the ranges: fourier, hartley; above attention; above none (bag of tokens); above"
        " majority class. Compared with fourier, no separation: hartley; below: attention, none"
        " (bag of tokens), majority class. Compared with none (bag of tokens), above: fourier,"
        " hartley, attention; below: majority class."
    )


def test_ranges_that_touch_do_not_separate() -> None:
    above = separation(rows(fourier=(0.6, 0.7), none=(0.5, 0.59)))
    touching = separation(rows(fourier=(0.6, 0.7), none=(0.5, 0.6)))
    assert "fourier; above none (bag of tokens); above" in above
    assert "no separation" not in above
    assert "fourier, none (bag of tokens); above majority class" in touching
    assert "Compared with fourier, no separation: none (bag of tokens);" in touching
    assert "Compared with none (bag of tokens), no separation: fourier;" in touching


def test_a_floor_within_a_range_does_not_separate() -> None:
    said = separation(rows(fourier=(0.6, 0.7), none=(0.48, 0.52)))
    assert said.endswith(
        "with none (bag of tokens), above: fourier; no separation: majority class."
    )


def test_overlaps_join_groups_in_a_chain() -> None:
    made = [Row("a", (0.8, 0.9)), Row("b", (0.6, 0.85)), Row("c", (0.65, 0.84)), Row("d", (0.5,))]
    assert [[row.variant for row in group] for group in groups(made)] == [["a", "c", "b"], ["d"]]


def test_one_seed_has_no_range() -> None:
    said = separation(rows(fourier=(0.7, 0.8), none=(0.5, 0.6), dct=(0.9,)))
    assert said.endswith("Of one seed, not compared: dct.")
    assert "dct" not in said.split("Of one seed")[0]
    assert separation(rows(fourier=(0.7,))).startswith("No two mixers have a range yet.")


def test_what_is_missing_is_named() -> None:
    text = page(list(STUDIES.values()), {}, {})
    for name in STUDIES:
        wanted = f"Not yet measured: `python -m examples.studies {name}`."
        assert wanted in section(text, name)
    assert "Not yet measured: `python -m examples.latency_budget`" in text


def test_listops_says_what_its_published_figures_are() -> None:
    text = page(list(STUDIES.values()), {"listops": result("listops", ACCURACIES)}, {})
    said = " ".join(section(text, "listops").split())
    assert "35 to 37 % has been published" in said
    assert "the accuracy of reading the first operator alone" in said
    assert "| 36.06 |" in said


def model(name: str, latency: float, *accuracies: float) -> dict[str, Any]:
    return {
        "name": name,
        "mixer": "fourier",
        "layers": 2,
        "hidden": 64,
        "parameters": 70000,
        "latency": {"1": [latency - 1, latency, latency + 1], "32": [90.0, 100.0, 110.0]},
        "tokens_per_second": 160000.0,
        "peak_mib": None,
        "accuracy": {"time": list(accuracies), "steps": []},
    }


def budget(*models: dict[str, Any]) -> dict[str, Any]:
    part = {
        "command": "python -m examples.latency_budget",
        "machine": {"cpu": "a processor", "cpus": 2},
        "device": "cpu",
        "threads": 1,
        "versions": {"torch": "2.13.0"},
        "date": "2026-01-02T00:00:00+00:00",
        "jobs": 2,
        "minutes": 17.0,
        "seq": 4096,
        "data": {},
        "steps": [110, 90],
        "majority": 0.612,
        "models": list(models),
    }
    return {"lengths": [part]}


def test_the_budget_says_who_wins() -> None:
    made = budget(
        model("Transformer", 9.0, 0.7, 0.8),
        model("FNet of equal shape", 5.0, 0.6, 0.69),
        model("largest FNet", 8.0, 0.85, 0.9),
    )
    said = verdicts(made["lengths"][0])
    assert said == [
        "At equal time, the Transformer beats the FNet of equal shape.",
        "At equal time, the largest FNet beats the Transformer.",
    ]
    text = budget_section(made, "")
    assert "| largest FNet | 2 x 64 | 70,000 | 8.0 (7.0 to 9.0) |" in text
    assert "| 87.5 (85.0 to 90.0) | not yet |" in text
    assert re.search(r"\| \*majority class\* \|[ |]*\| 61.2 \| 61.2 \|", text)
    equal = budget(model("Transformer", 9.0, 0.7, 0.8), model("largest FNet", 8.0, 0.75, 0.9))
    assert verdicts(equal["lengths"][0]) == [
        "At equal time, the largest FNet and the Transformer do not separate."
    ]
    told = "training for 17 minutes, 90 to 110 steps of the Transformer, 2 runs at a time; latency"
    assert told in " ".join(text.split())
    single = budget(model("Transformer", 9.0, 0.7), model("largest FNet", 8.0, 0.9))
    assert verdicts(single["lengths"][0]) == ["Too few seeds to compare."]


def test_the_budget_says_what_is_above_its_floors() -> None:
    transformer, low = model("Transformer", 9.0, 0.7, 0.8), model("largest FNet", 8.0, 0.612, 0.7)
    made = budget(transformer, low)
    part = made["lengths"][0]
    below = "At equal time, not above the majority class: the largest FNet."
    assert above_floors(part) == [below]
    part["bag_of_tokens"] = {"accuracy": {"time": [0.65, 0.69], "steps": []}}
    above = "At equal time, above the bag of tokens: the Transformer."
    assert above_floors(part) == [above, below]
    text = budget_section(made, "")
    assert re.search(r"\| \*bag of tokens\* \|[ |]*\| 67.0 \(65.0 to 69.0\) \| not yet \|", text)
    assert f"{above} {below}" in " ".join(text.split())
    part["bag_of_tokens"]["accuracy"]["time"] = [0.7, 0.7]
    assert above_floors(part)[0] == "At equal time, no model is above the bag of tokens."


def test_the_pareto_line_has_what_nothing_beats() -> None:
    points = [(3.0, 0.7), (1.0, 0.5), (2.0, 0.4), (3.0, 0.8), (4.0, 0.8)]
    models = [model("a model", latency, accuracy) for latency, accuracy in points]
    models[0]["accuracy"]["steps"] = [0.9]  # does not compare with equal time
    part = budget(*models)["lengths"][0]
    assert pareto(part, "time") == [(1.0, 0.5), (3.0, 0.8)]
    assert pareto(part, "steps") == [(3.0, 0.9)]


def test_the_page_and_its_plots_are_written_and_checked(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results, document = tmp_path / "results", tmp_path / "results.md"
    results.mkdir()
    pairs = results / "r8-pairs.json"
    some_below = {**ACCURACIES, "haar": (0.565, 0.8, 0.9)}
    pairs.write_text(json.dumps(result("r8-pairs", some_below)))
    latencies = budget(model("Transformer", 9.0, 0.7, 0.8), model("largest FNet", 8.0, 0.75))
    latencies["lengths"][0]["bag_of_tokens"] = {"accuracy": {"time": [0.6]}}
    (results / "latency-budget.json").write_text(json.dumps(latencies))
    readme = tmp_path / "README.md"
    readme.write_text("\n".join(["# Title", *marks(BLOCK, MAKER), ""]))
    words = ["--results", str(results), "--page", str(document), "--readme", str(readme)]
    assert command.main([*words, "--check"]) == 1
    assert command.main(words) == 0
    assert command.main([*words, "--check"]) == 0
    for name in re.findall(r"\(\.\./examples/results/(.*\.png)\)", document.read_text()):
        assert (results / name).read_bytes().startswith(b"\x89PNG")
    assert len(list(results.glob("*.png"))) == 2
    assert f"none (bag of tokens) {100 * fmean(ACCURACIES['none']):.1f}" in readme.read_text()
    told = " ".join(readme.read_text().split())
    assert "In every seed above the bag of tokens: fourier, hartley, attention." in told
    pairs.write_text(json.dumps(result("r8-pairs", {**ACCURACIES, "none": (0.5, 0.51, 0.52)})))
    assert command.main([*words, "--check"]) == 1


def test_the_committed_page_shows_the_committed_results() -> None:
    assert command.main(["--check"]) == 0, "run python -m examples.report"


def test_committed_results_have_no_path_of_a_machine() -> None:
    for path in command.RESULTS.glob("*.json"):
        text = path.read_text()
        assert not re.search(r'["\s](/|~)\w', text), path
        assert str(ROOT) not in text


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SystemExit, match="--results must be a folder with JSON files"):
            command.main(["--results", str(folder), "--page", str(page)])
    assert not page.exists()
