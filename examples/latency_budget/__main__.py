"""`python -m examples.latency_budget`: how accurate is an FNet within a Transformer's latency?

1. It times a small Transformer and FNets of many depths and widths, forward, interleaved.
2. It keeps the largest FNet within the Transformer's latency at every batch size.
3. It trains the Transformer, that FNet, the FNet of the Transformer's size and a bag of tokens, for
   equal time and for equal steps.

    python -m examples.latency_budget --jobs 2
    python -m examples.latency_budget --lengths 4096 --minutes 5
    python -m examples.latency_budget --quick            # a rehearsal: its figures say little

Ctrl-C stops it and loses nothing. The result is written to build/studies/results, with --keep to
examples/results, beside the lengths that are there, and `python -m examples.report` shows it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.arguments import duration, positive
from bench.folders import is_writable
from bench.measure.machine import describe
from examples.corpora.load import SETS, load
from examples.latency_budget.latency import (
    Times,
    first_look,
    largest,
    peak_mib,
    promising,
    time_together,
)
from examples.latency_budget.result import command, conditions, with_kept
from examples.latency_budget.sizes import BAG, EQUAL, TRANSFORMER, Size, candidates
from examples.latency_budget.training import Plan
from examples.report.budget import REGIMES, columns, pareto, verdicts
from examples.report.plots import plot_budget
from examples.studies.collect import write
from examples.studies.conditions import machine, moment
from examples.studies.folders import add_folders, result_folder
from examples.studies.kept import LOCK
from examples.studies.pool import Pool
from examples.studies.runs import Run, State
from examples.training.distributed import on_device
from examples.training.failures import lock
from fnet_kernels._terminal import Progress, table

NAME = "latency-budget"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m examples.latency_budget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--lengths", type=_sizes, default=[512, 2048, 4096], metavar="N,N")
    made.add_argument("--batches", type=_sizes, default=[1, 32], help="of latency (1,32)")
    made.add_argument("--depths", type=_sizes, default=[2, 3, 4, 6, 8, 12], help="of FNet")
    made.add_argument("--widths", type=_sizes, default=[64, 96, 128, 192, 256, 384, 512])
    made.add_argument(
        "--seconds", type=duration, default=20, help="of timing at each batch size (20)"
    )
    made.add_argument("--data", default="licences", help="what is learned, as bytes (licences)")
    made.add_argument("--minutes", type=duration, default=17, help="of training for each run (17)")
    made.add_argument("--batch", type=positive, default=32, help="of training (32)")
    made.add_argument("--seeds", type=_seeds, default=[0, 1, 2], help="0,1,2")
    made.add_argument("--jobs", type=positive, default=1, help="trainings at a time (1)")
    made.add_argument("--threads", type=positive, default=1, help="of latency, and of each run (1)")
    made.add_argument("--device", default="cpu", help="cpu or cuda")
    made.add_argument(
        "--quick", action="store_true", help="512 tokens, few sizes, one seed, one minute"
    )
    made.add_argument("--no-training", action="store_true", help="latency alone")
    add_folders(made)
    return made


_QUICK = {"lengths": [512], "depths": [2, 4], "widths": [64, 128], "seeds": [0], "minutes": 1.0}
_QUICK |= {"seconds": 3.0}


#: The latencies depend on these options, and on the device.
_MEASURED_WITH = ("batches", "depths", "widths", "threads", "seconds")


def _seeds(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers with commas, as in 0,1,2")
    return [int(part) for part in parts]


def _sizes(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]


def find_sizes(seq: int, args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Time the models at one length: the chosen sizes, the Transformer first, with figures."""
    progress.step(f"{seq} tokens: a first look at the sizes")
    sizes = promising(
        candidates(args.depths, args.widths), first_look(seq, args.batches, args.device)
    )
    progress.step(f"{seq} tokens: times of the largest")
    found, times = largest(
        sizes, lambda group: time_together(group, seq, args.batches, args.seconds, args.device)
    )
    chosen = [TRANSFORMER, EQUAL]
    if found is not None and (found.layers, found.hidden) != (EQUAL.layers, EQUAL.hidden):
        chosen.append(found)
    progress.step(f"{seq} tokens: peak memory")
    models = [_figures(size, seq, times, args) for size in chosen]
    return {"seq": seq, **conditions(args), "models": models}


def _figures(size: Size, seq: int, times: Times, args: argparse.Namespace) -> dict[str, Any]:
    most = max(args.batches)
    return {
        **vars(size),
        "parameters": sum(p.numel() for p in size.build(seq).parameters()),
        "latency": {
            str(batch): [1e3 * t for t in timing.quartiles] for batch, timing in times[size].items()
        },
        "tokens_per_second": most * seq / times[size][most].median,
        "peak_mib": peak_mib(size, most, seq, args.threads, args.device),
        "accuracy": {},
    }


def size_of(model: dict[str, Any]) -> Size:
    """The size that `find_sizes` wrote."""
    return Size(model["name"], model["mixer"], model["layers"], model["hidden"])


def device_name(args: argparse.Namespace) -> str:
    """What computes: the GPU, or the processor."""
    facts = describe(args.device)
    name: str = facts["gpu" if "gpu" in facts else "cpu"]["name"]
    return name


def measured(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The sizes at each length. What an earlier call measured stays, as it decided what to train.

    Raises:
        ValueError: the earlier call had other options.
    """
    wanted = {key: getattr(args, key) for key in _MEASURED_WITH} | {"device": device_name(args)}
    progress = Progress(3 * len(args.lengths))
    found = []
    try:
        for seq in args.lengths:
            file = args.out / f"{NAME}-{seq}.json"
            if not file.exists():
                write({"options": wanted, **find_sizes(seq, args, progress)}, file)
            part = json.loads(file.read_text())
            if part.pop("options") != wanted:
                raise ValueError(f"{file} was measured with other options; move it away")
            found.append(part)
    finally:
        progress.close()
    return found


def check_data(name: str) -> None:
    """End the program before it trains on data that it cannot judge by accuracy."""
    dataset = load(name)
    needed = {
        "texts": dataset.vocabulary is None,
        "accuracy as a metric": "accuracy" in dataset.metrics,
        "test examples": len(dataset.test.labels) > 0,
    }
    for what, has in needed.items():
        if not has:
            raise SystemExit(f"--data must have {what}; {name} has none")


def train(parts: Sequence[dict[str, Any]], args: argparse.Namespace) -> bool:
    """Train what is missing and fill in what is known; false if stopped, or if a run failed."""
    facts = machine(args.jobs)

    def start(run: Run) -> Any:
        return run.start({**facts, **moment()}, args.threads, args.device)

    def run_all(runs: Sequence[Run]) -> bool:
        todo = [run for run in runs if run.state() is not State.FINISHED]
        progress = Progress(len(todo))
        try:
            told = Pool(start, args.jobs, lambda run, text: progress.step(f"{run.cell}: {text}"))
            return told.run(todo)
        finally:
            progress.close()

    done = True
    for part in parts:
        sizes = tuple(size_of(model) for model in part["models"])
        seeds = tuple(args.seeds)
        trained = (*sizes, BAG)
        plan = Plan(trained, part["seq"], args.data, args.minutes, args.batch, seeds, args.out)
        if not args.no_training:
            done = done and run_all(plan.equal_time()) and run_all(plan.equal_steps())
        for model, size in zip(part["models"], sizes, strict=True):
            model.update(plan.figures(size))
        part["steps"] = list(plan.steps().values())
        part["data"] = plan.data_read()
        part["bag_of_tokens"] = plan.figures(BAG)
        part["majority"] = plan.majority()
        part["clock"] = plan.clock()
    return done


def show(part: dict[str, Any]) -> str:
    """The figures of a length, for the terminal."""
    lines = [f"{part['seq']} tokens", table(*columns(part), left=2), *verdicts(part)]
    for regime, name in REGIMES.items():
        best = ", ".join(f"{100 * a:.1f} % at {ms:.1f} ms" for ms, a in pareto(part, regime))
        lines += [f"Pareto front at {name}: {best}"] if best else []
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 if a run failed or was stopped."""
    words = list(sys.argv[1:] if argv is None else argv)
    made = parser()
    if "--quick" in words:
        made.set_defaults(**_QUICK)
    args = made.parse_args(words)
    torch.set_num_threads(args.threads)
    on_device(args.device)  # ends the program if there is none
    if not args.no_training:
        check_data(args.data)
        if args.data not in SETS:  # a run has another working folder
            args.data = str(Path(args.data).resolve())
    given = {name: getattr(args, name) for name in ("jobs", "minutes", "seeds")}
    about = {"command": command(words), **given}
    if not is_writable(args.out, "examples.latency_budget"):
        return 2
    try:
        parts = measured(args)
        done = train(parts, args)
    except ValueError as error:
        raise SystemExit(f"examples.latency_budget: error: {error}") from None
    path = result_folder(args) / f"{NAME}.json"
    lengths = [{**about, **part} for part in parts]
    with lock(LOCK, wait=True):  # as examples.studies, which adds to the same folder
        result = {"lengths": with_kept(path, lengths) if args.keep else lengths}
        write(result, path)
    plot_budget(result, path.with_suffix(".png"))
    print("\n\n".join(map(show, parts)))
    print(f"written: {path}")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
