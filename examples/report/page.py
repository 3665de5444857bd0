"""The text of docs/results.md.

defines: page
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.figures import rows_of as table
from bench.figures import span, wrapped
from examples.report.budget import budget_section
from examples.report.paper import HEADINGS, reported
from examples.report.rows import CLOCKS, Row, rows_of, separation
from examples.report.summary import summary
from examples.studies.study import Study

_INTRODUCTION = """\
# Results

<!-- made by `python -m examples.report`, do not edit -->

What the mixers learn, on data from package registries; see `python -m examples.data`. Every model
starts from random weights. All models of a study have the same number of layers, the same width,
the same batches, and one gain: the orthonormal transform. "fourier-paper" is FNet as published,
with the unnormalised transform. The names of mixers are those of [Models](models.md#other-mixers);
"hybrid" has attention in its top layer, or in the top two of four. The command below a table has
the flags that its rows share; `python -m examples.studies NAME --dry-run` prints those of each row.

The test split is read once, at the end of a run. A figure is the mean over the seeds; the range is
from the lowest to the highest seed. Floors, in italics, are the accuracies of simpler answers. The
majority class is the most frequent one. The root operator of ListOps is the value that is most
frequent for the first operator. The linear model of words is a support vector machine on the tf-idf
weights of the words of whole texts (`python -m examples.studies.linear`). "none" mixes no tokens:
with mean pooling it sees a bag of tokens, each with its position and its text.

Time is the median over the seeds of the training alone, on the device that each section names, with
as many runs at a time as it says. Wall time includes the effect of other work on the machine, so
the load average at the start of the runs is given where it was recorded. Attention, "none" and
"exact" compute batches padded to their longest text; the others, whose result depends on the padded
length, always compute all `--seq` tokens. "tokens/s" does not count padding.

Two rows separate if their ranges do not overlap. The line below a table is computed as follows:
"A, B; above C" means that every seed of A and of B is above every seed of C, while A and B overlap,
directly or through rows between them. Three seeds are few: a difference within a group may exist,
and is not shown.

Columns "as reported" are figures of the paper, on other data and with far larger models
(arXiv 2105.03824). Compare the order of the mixers with them, not the values.

`python -m examples.studies NAME` repeats a study; `--list` shows all studies. It runs only what is
missing and resumes interrupted runs. `python -m examples.report` makes this page."""

_UNSTEADY = (
    "Times are not shown: those of one variant differ by more than a factor of two between seeds,"
    " because the machine did other work."
)


def page(
    studies: Sequence[Study],
    results: Mapping[str, dict[str, Any]],
    plots: Mapping[str, str],
    budget: dict[str, Any] | None = None,
) -> str:
    """The page: a table of all studies, and a section per study in the order of their table.

    Args:
        studies: the table of studies.
        results: what was measured, by the name of the study.
        plots: the file of a plot, relative to docs/, by the name of the study.
        budget: the result of `examples.latency_budget`.
    """
    sections = [_INTRODUCTION]
    if overview := summary(studies, results):
        sections.append(overview)
    for study in studies:
        found = results.get(study.name)
        plot = plots.get(study.name, "")
        sections.append(_section(study, found, plot) if found else _missing(study))
    sections.append(budget_section(budget, plots.get("latency-budget", "")))
    return "\n\n".join(sections) + "\n"


def _head(study: Study) -> str:
    return f"## {study.name}\n\n{wrapped(study.question)}"


def _missing(study: Study) -> str:
    return f"{_head(study)}\n\nNot yet measured: `python -m examples.studies {study.name}`."


def _section(study: Study, result: dict[str, Any], plot: str) -> str:
    rows = rows_of(result)
    metric = result["metric"].replace("_", " ")
    heads = [
        "mixer",
        f"{metric}, %",
        "range",
        "seeds",
        "parameters",
        "steps",
        "seconds",
        "tokens/s",
    ]
    if study.reported:
        heads.append(f"{HEADINGS[study.reported]}, as reported")
    timed = all(row.steady for row in rows)
    body = [_cells(row, study.reported, timed) for row in rows]
    bases = [study.variants[0].name, "none"]
    parts = [_head(study), table(heads, body), wrapped(separation(rows, bases))]
    if plot:
        parts.append(f"![{metric} of each mixer in {study.name}]({plot})")
    if not timed:
        parts.append(wrapped(_UNSTEADY))
    if study.remark:
        parts.append(wrapped(study.remark))
    ran = {row.variant for row in rows}
    absent = [variant.name for variant in study.variants if variant.name not in ran]
    if absent:
        parts.append(wrapped(f"Not yet run: {', '.join(absent)}."))
    parts.append(wrapped(_conditions(study, result, ran)))
    return "\n\n".join(parts)


def _cells(row: Row, column: str, timed: bool) -> list[str]:
    if row.floor:
        return [row.cell, row.percent, *[""] * (7 if column else 6)]
    cells = [
        row.cell,
        row.percent,
        span((100 * value for value in row.values), 1) if row.compared else "",
        str(len(row.values)),
        f"{row.average('parameters'):,.0f}",
        f"{row.average('steps'):,.0f}",
        f"{row.seconds:,.0f}" if timed else "",
        f"{row.tokens_per_second:,.0f}" if timed else "",
    ]
    return [*cells, reported(column, row.variant)] if column else cells


def _conditions(study: Study, result: dict[str, Any], ran: set[str]) -> str:
    """Where, when and on what data the runs of the variants in `ran` were made."""
    variants = [variant for variant in study.variants if variant.name in ran]
    flash = [v.name for v in variants if "--attention-dropout 0" in v.options]
    without = f" {' and '.join(flash)} without dropout of the attention weights;" if flash else ""
    data = result["data"]
    versions = " and ".join(dict.fromkeys(each["torch"] for each in result["versions"]))
    machines = "; ".join(
        f"{m['cpu']}, {m['cpus']} CPUs, {m['jobs']} run{'s' * (m['jobs'] != 1)} at a time"
        for m in result["machines"]
    )
    counts = (
        f"{data['train']:,} examples for training, {data['validation']:,} for validation,"
        f" {data['test']:,} for the test"
    )
    threads = " or ".join(map(str, result["threads"]))
    days = " to ".join(dict.fromkeys(date[:10] for date in result["dates"]))
    clocks = dict.fromkeys(run.get("clock", "wall") for run in result["runs"])
    clock = " or ".join(CLOCKS.get(name, name) for name in clocks)
    loads = [run["load"] for run in result["runs"] if run.get("load") is not None]
    if loads:
        machines += f", load average {span(loads, 1)}"
    return (
        f"`{result['command']}`;{without} data {data['name']},"
        f" SHA-256 `{data['sha256'][:12]}`, {counts};"
        f" {', '.join(result['devices'])}, {threads} thread{'s' * (threads != '1')} a run,"
        f" {clock} time;"
        f" {machines}; torch {versions}; {days}."
    )
