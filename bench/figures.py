"""The figures of README.md and docs as Markdown, made from committed results.

defines: highlights, speed, machine_section, cores_section, cuda_block, span, rows_of, wrapped

Every function reads JSON and returns Markdown. No figure is typed by hand.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from bench.contestants.setting import Setting
from bench.recorded import REUSED, Machine, cpu_name, in_rounds, when
from bench.shapes import parse
from bench.targets.report import BOUNDS
from bench.targets.values import (
    BACKWARD,
    BF16,
    FLOOR,
    FORMULA,
    MEMORY,
    STEP,
    TARGETS,
    THREADS,
    TORCH,
)


def span(values: Iterable[float], digits: int, unit: str = "") -> str:
    """`minimum to maximum`, or one figure if both round to the same."""
    values = list(values)
    low, high = (f"{v:.{digits}f}" for v in (min(values), max(values)))
    return (low if low == high else f"{low} to {high}") + unit


def rows_of(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with the header `heads`."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def wrapped(text: str, indent: str = "") -> str:
    """`text` as lines of at most 100 columns; all but the first begin with `indent`."""
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _sizes(shape: str) -> str:
    return shape.replace("x", " x ")


def highlights(machines: Sequence[Machine]) -> str:
    """The headline figures over all machines: speed, memory and a whole model."""
    formula = span((r for m in machines for r in m.ratios(FORMULA)), 1, "x")
    torch = span((r for m in machines for r in m.ratios(TORCH)), 1, "x")
    count = f"{len(machines)} machines" if len(machines) > 1 else "1 machine"
    lines = [
        f"- **{formula} faster** than the formula `layer_norm(x + fft2(x).real)`, and {torch} "
        f"faster\n  than the best torch composition, compiled or eager (float32 forward, {count})."
    ]
    cases = [(case, v) for m in machines for of in m.memory.values() for case, v in of.items()]
    if cases:
        ours = max(v for case, v in cases if case.startswith("ours"))
        theirs = max(v for case, v in cases if case.startswith("formula"))
        lines.append(
            f"- **Extra memory: {ours:.2f} times `x`**; formula: {theirs:.1f}."
            " Some shapes take [more](docs/cpu.md#threads)."
        )
    gains = [gain for m in machines if (gain := _model_gains(m))]
    if gains:
        same, half = (span((g[i] for g in gains), dot, "x") for i, dot in ((0, 2), (1, 1)))
        lines.append(
            wrapped(
                f"- **In inference, FNet-Base of transformers runs {half} faster** patched in"
                f" bfloat16 than stock in float32, and {same} faster patched in float32; the stock"
                " model refuses bfloat16.",
                indent="  ",
            )
        )
    return "\n".join(lines)


def _base_models(machine: Machine) -> tuple[dict[str, Any], ...] | None:
    """Stock FNet-Base in float32; patched in float32 and in bfloat16; None if one is missing."""
    names = (("FNet", "float32"), ("FNet patched", "float32"), ("FNet patched", "bfloat16"))
    rows = [row for name in names if (row := machine.model(*name))]
    return tuple(rows) if len(rows) == len(names) else None


def _model_gains(machine: Machine) -> tuple[float, float] | None:
    """Stock FNet-Base in float32 over the patched one, in float32 and in bfloat16."""
    rows = _base_models(machine)
    return (rows[1]["stock_over_this"], rows[2]["stock_over_this"]) if rows else None


def speed(machine: Machine, others: Sequence[Machine]) -> str:
    """The README table of one machine on its best instruction set, and a line per other machine."""
    isa = machine.isas[0]
    heads = ["batch x seq x hidden", "ours", "formula", "best torch", "`layer_norm(x + x)`"]
    rows = [
        [
            _sizes(shape),
            f"{machine.milliseconds(shape, isa) or float('nan'):.2f} ms",
            f"{machine.one(FORMULA, shape, isa)['measured']:.1f}x",
            f"{machine.one(TORCH, shape, isa)['measured']:.1f}x",
            f"{1 / machine.one(FLOOR, shape, isa)['measured']:.2f}x",
        ]
        for shape in machine.shapes
    ]
    lines = [_taken_on(machine)]
    for other in others:
        formula, torch = (span(other.ratios(target), 1, "x") for target in (FORMULA, TORCH))
        warm = ", warm" if _warm(other) else ""
        lines.append(f"On {other.name}{warm}: formula {formula}, best torch {torch}.")
    lines += filter(None, [_model_line(machine)])
    return f"{rows_of(heads, rows)}\n\n" + "\n".join(lines)


def _taken_on(machine: Machine) -> str:
    facts = machine.facts
    return (
        f"{machine.name}, {facts['threads']} threads, {machine.isas[0]}, "
        f"torch {facts['versions']['torch']}, {when(facts)}."
    )


def _model_line(machine: Machine) -> str:
    rows = _base_models(machine)
    if rows is None:
        return ""
    stock, same, half = (f"{row['median_ms']:.0f}" for row in rows)
    text = (
        f"FNet-Base, {rows[0]['batch']} x {rows[0]['seq']}, in ms: stock {stock}, "
        f"patched {same}, patched bf16 {half}"
    )
    bert = [machine.model("BERT", dtype) for dtype in ("float32", "bfloat16")]
    if all(bert):
        times = [f"{row['median_ms']:.0f}" for row in bert if row]
        text += f"; BERT-Base {times[0]}, bf16 {times[1]}"
    return f"{text}."


def cores_section(content: dict[str, Any]) -> str:
    """The simulated speed-up of each shape by the number of cores, for docs/cpu.md."""
    facts, rows = content["machine"], content["rows"]
    counts = list(dict.fromkeys(row["cores"] for row in rows))
    last = counts[-1]
    body = []
    for shape, direction in dict.fromkeys((row["shape"], row["pass"]) for row in rows):
        of = [r for r in rows if (r["shape"], r["pass"]) == (shape, direction)]
        end = of[-1]
        summary = [str(end["rounds"]), f"{end['busy']:.2f}", f"{max(r['extra'] for r in of):.2f}"]
        body.append([_sizes(shape), direction, *(f"{r['speedup']:.1f}" for r in of), *summary])
    heads = ["shape", "pass", *map(str, counts), f"rounds on {last}", f"busy on {last}"]
    taken = f"Simulated on {cpu_name(facts)}, {content['isa']}, float32, {when(facts)}"
    said = wrapped(f"{taken}: speed-up by cores.")
    return f"{said}\n\n{rows_of([*heads, 'most extra / x'], body)}"


def machine_section(machine: Machine) -> str:
    """All recorded figures of one machine, for docs/benchmarks.md."""
    parts = [
        f"### {machine.name}",
        _conditions(machine),
        _forward_table(machine),
        _other_passes(machine),
        _attention(machine),
        _model_table(machine),
        _targets(machine),
    ]
    return "\n\n".join(filter(None, parts))


def _conditions(machine: Machine) -> str:
    warm = _warm(machine)
    inputs = f"Inputs may stay in the last-level cache ({warm})" if warm else "Inputs are cold"
    who = "all contestants" if machine.facts.get("huge_pages") else "our operator alone"
    return f"{_taken_on(machine)}\n{inputs}; large tensors of {who} use huge pages."


def _warm(machine: Machine) -> str:
    """The size of the largest cache, unless all copies of every x exceed it: then nothing."""
    caches = [int(size.removesuffix("K")) << 10 for size in machine.facts["caches"].values()]
    if not caches:
        return "of unknown size"
    shapes = parse(",".join(machine.shapes))
    fits = min(Setting(shape).rotated for shape in shapes) <= max(caches)
    return f"{max(caches) >> 20} MB" if fits else ""


def _forward_table(machine: Machine) -> str:
    heads = ["forward, float32", "malloc", "ISA", "ours", "formula", "best torch", "which"]
    rows = []
    for shape in dict.fromkeys(v["shape"] for v in machine.of(FORMULA)):
        for isa in machine.isas:
            best = machine.one(TORCH, shape, isa)
            time = machine.milliseconds(shape, isa)
            rows.append(
                [
                    _sizes(shape.removesuffix(REUSED)),
                    "keeps memory" if shape.endswith(REUSED) else "default",
                    isa,
                    f"{time:.2f} ms" if time else "",
                    f"{machine.one(FORMULA, shape, isa)['measured']:.1f}x",
                    f"{best['measured']:.1f}x",
                    best.get("against", ""),
                    f"{1 / machine.one(FLOOR, shape, isa)['measured']:.2f}x",
                ]
            )
    return rows_of([*heads, "`layer_norm(x + x)`"], rows)


def _other_passes(machine: Machine) -> str:
    """The measured ratios of backward, training step, bfloat16, threads and memory."""
    names = {
        BACKWARD: "backward alone: formula's time / ours",
        STEP: "forward and backward: formula's time / ours",
        BF16: "forward: our bfloat16 time / our float32 time",
        THREADS: "1 x 2048 x 768: time on one thread / on two",
        MEMORY: "extra memory / `x` in float32, worst pass",
    }
    rows = []
    for target, name in names.items():
        measured = [machine.of(target, isa) for isa in machine.isas]
        if any(measured):
            spans = [span((v["measured"] for v in of), 2) if of else "" for of in measured]
            rows.append([name, *spans])
    if best := _best_of_steps(machine):
        rows.append(["forward and backward: best torch's time / ours", *best])
    return rows_of(["over the shapes above", *machine.isas], rows) if rows else ""


def _best_of_steps(machine: Machine) -> list[str]:
    """Of a training step: the median of the faster of fftn and rfft2 over ours, by ISA."""
    prefix = f"{STEP.name.partition(':')[0]} fp32 "
    steps = [times for what, times in machine.times.items() if what.startswith(prefix)]

    def over_ours(times: dict[str, Any], isa: str) -> float:
        rivals = [times[name]["median_ms"] for name in ("fftn", "rfft2 + mirror") if name in times]
        return float(min(rivals) / times[f"ours {isa}"]["median_ms"])

    return [span((over_ours(times, isa) for times in steps), 2) for isa in machine.isas if steps]


def _attention(machine: Machine) -> str:
    """Compare self-attention with our sublayer at the shortest and longest length of the sweep."""
    sweep = machine.sweep["rows"]
    rows = [r for r in sweep if r["contestant"] == "self-attention" and r["over_ours"]]
    rows = [r for r in rows if r["hidden"] == 768 and r["seq"] >= 512]
    if not rows:
        return ""
    ours = {r["shape"]: r for r in sweep if r["role"] == "ours" and r["over_ours"] == 1}
    rows.sort(key=lambda row: int(row["seq"]))
    texts = []
    for row in {r["seq"]: r for r in (rows[0], rows[-1])}.values():
        text = f"{_over_ours(row)} times our time"
        memory = (row["peak_mib"], ours.get(row["shape"], {}).get("peak_mib"))
        if all(memory):
            text += f" and {memory[0] / memory[1]:.1f} times our memory"
        texts.append(f"{text} at {row['seq']} tokens")
    listed = ", ".join(texts)
    return wrapped(
        f"A self-attention sublayer (SDPA, same width) takes {listed}"
        f" ({when(machine.sweep['machine'])})."
    )


def _over_ours(row: dict[str, Any]) -> str:
    """Time over ours; of a contestant that ran outside the rounds only two digits, with "~"."""
    over = float(row["over_ours"])
    return f"~{float(f'{over:.2g}'):g}" if not in_rounds(row) else f"{over:.1f}"


def _model_table(machine: Machine) -> str:
    models = machine.models["rows"]
    if not models:
        return ""
    measured = all(r.get("peak_mib") is not None for r in models)
    rows = [
        [
            f"{r['model']}-{r['size']}",
            r["dtype"],
            r["task"],
            f"{r['median_ms']:.0f} ms",
            *(f"{ratio:.2f}x" if ratio else "" for ratio in _ratios(r)),
            *([f"{r['peak_mib']:.0f}"] if measured else []),
        ]
        for r in models
    ]
    heads = ["whole model", "dtype", "task", "median", "stock fp32 / this", "BERT / this"]
    heads += ["peak MiB"] if measured else []
    sizes = " and ".join(sorted({f"{r['batch']} x {r['seq']} tokens" for r in models}))
    rounds = min(r["rounds"] for r in models)
    note = wrapped(
        f"Whole models of transformers, {sizes}, random weights; at least {rounds} rounds;"
        f" {when(machine.models['machine'])}:"
    )
    return f"{note}\n\n{rows_of(heads, rows)}"


def _ratios(row: dict[str, Any]) -> tuple[float | None, float | None]:
    return row["stock_over_this"], row["bert_over_this"]


def _shape(verdict: dict[str, Any]) -> str:
    return str(verdict["shape"]).replace(REUSED, " (malloc keeps memory)")


def _targets(machine: Machine) -> str:
    """A table of the targets: how often each is met, and its bound where it is missed."""
    rows, total, missed, unmeasured = [], 0, 0, []
    for target in TARGETS:
        verdicts = machine.of(target)
        if not verdicts:
            unmeasured.append(target.name)
            continue
        failed = [v for v in verdicts if not target.is_met(v["measured"])]
        total, missed = total + len(verdicts), missed + len(failed)
        worst = (min if target.at_least else max)(verdicts, key=lambda v: float(v["measured"]))
        bounds = [v["bounds"][BOUNDS[1]] for v in failed if BOUNDS[1] in v.get("bounds", {})]
        rows.append(
            [
                target.name,
                str(target),
                f"{len(verdicts) - len(failed)} of {len(verdicts)}",
                f"{worst['measured']:.2f} at {_shape(worst)}, {worst['isa']}",
                span(bounds, 1) if bounds else "",
            ]
        )
    verb = "is" if missed == 1 else "are"
    said = (
        f"{missed} of {total} targets {verb} missed" if missed else f"All {total} targets are met"
    )
    heads = ["target", "limit", "met", "worst", "bound where missed"]
    parts = [
        f"{said}, counted by shape, instruction set and malloc setting:",
        rows_of(heads, rows),
    ]
    if unmeasured:
        parts.append(wrapped(f"Not measured here: {'; '.join(unmeasured)}."))
    if disturbed := machine.disturbed:
        parts.append(
            wrapped(
                f"{len(disturbed)} of the {len(machine.cores)} comparisons did not have two cores"
                f" with a common cache all the time: {'; '.join(disturbed)}."
            )
        )
    return "\n\n".join(parts)


#: Bytes per element that the forward pass of the formula moves in float32, by operation: cast to
#: complex, FFT along hidden, FFT along seq, x + real part, LayerNorm.
_FORMULA_BYTES = sum((4 + 8, 8 + 8, 8 + 8, 4 + 8 + 4, 4 + 4))
_MIRRORED = "seq_fft x read"  # see tools/kernel_report/targets.py


def cuda_block(report: dict[str, Any]) -> str:
    """Memory traffic and bank conflicts of FNet's own block on CUDA, counted by the simulator.

    Raises:
        ValueError: an access other than the read of mirrored columns moves partial sectors.
    """
    audit, passes = report["audit"], report["passes"]

    def moved(name: str, dtype: str) -> str:
        return f"{passes[f'512x768 {dtype}, {name}']['bytes_per_element']:.1f}"

    rows = [
        [name, *(moved(name, dtype) for dtype in ("bfloat16", "float32"))]
        for name in ("forward", "backward")
    ]
    rows.append(["the formula's forward", "", str(_FORMULA_BYTES)])
    own = {name: figures for name, figures in audit.items() if ", " not in name}  # no other block
    usual = {name: figures for name, figures in own.items() if " 8192x" not in name}
    for kernel, figures in usual.items():
        for site, sectors in figures["sectors"].items():
            name = f"{kernel.split()[0]} {site}"
            if sectors > 1.1 and name != _MIRRORED:
                raise ValueError(
                    f"{kernel}: {site} moves {sectors:.2f} times the minimum of sectors"
                )
    worst = max(figures["worst_site"] for figures in own.values())
    conflicts = (
        "shared memory is free of bank conflicts"
        if worst <= 1
        else f"the worst shared-memory access takes {worst:.1f} times its minimum of wavefronts"
    )
    heads = ["bytes per element, 512 x 768", "bfloat16", "float32"]
    return (
        f"{rows_of(heads, rows)}\n\n"
        "L2 and DRAM traffic are counted together. Up to 4096 tokens every global access moves\n"
        f"whole sectors, except the read of x's mirrored columns, and {conflicts}."
    )
