"""`python -m examples.studies`: trains every mixer and seed of the studies that are not yet done.

    python -m examples.studies --list                     # the studies, and how far they are
    python -m examples.studies r8-pairs --jobs 2          # what is missing of one study
    python -m examples.studies --quick --jobs 2 --minutes 60
    python -m examples.studies r8 --mixers fourier,none --seeds 0

Every run is a process with its folder in build/studies. Finished runs are skipped, interrupted ones
continue where they were saved; Ctrl-C stops all and loses nothing. Results are written to
build/studies/results after each run. With --keep they are added to those in examples/results, whose
runs are skipped too, so that several machines can share a study.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from examples.studies import kept
from examples.studies.collect import collect, write
from examples.studies.conditions import machine, moment
from examples.studies.folders import RESULTS, add_folders, result_folder
from examples.studies.pool import Pool
from examples.studies.runs import Run, State
from examples.studies.study import Cell, Study, interleaved
from examples.studies.table import STUDIES
from examples.training.failures import lock
from examples.training.options import number, positive
from fnet_kernels._terminal import Progress, table
from fnet_kernels.cli.pipes import pipe_may_close


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m examples.studies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("studies", nargs="*", metavar="STUDY", help="names of --list (default: all)")
    made.add_argument("--list", action="store_true", help="show the studies and run nothing")
    made.add_argument("--dry-run", action="store_true", help="print the commands and run nothing")
    made.add_argument("--collect", action="store_true", help="write the results and run nothing")
    made.add_argument(
        "--quick", action="store_true", help="one seed of every study before any second seed"
    )
    made.add_argument("--mixers", help="only these, with commas")
    made.add_argument("--seeds", help="only these, with commas")
    made.add_argument("--jobs", type=positive, default=1, help="runs at a time (default 1)")
    made.add_argument("--threads", type=positive, default=1, help="of each run (default 1)")
    made.add_argument("--device", default="cpu", help="of each run (default cpu)")
    made.add_argument(
        "--minutes", type=number, default=float("inf"), help="stop after this time; runs are saved"
    )
    add_folders(made)
    return made


def chosen(args: argparse.Namespace) -> list[Cell]:
    """The cells that the options name, in the order to run them.

    Raises:
        ValueError: a study, mixer or seed is unknown.
    """
    names = args.studies or list(STUDIES)
    _check("STUDY", names, STUDIES)
    studies = [STUDIES[name] for name in names]
    cells = list(interleaved(studies)) if args.quick else [c for s in studies for c in s.cells()]
    for option, key in (
        ("mixers", lambda cell: cell.variant.name),
        ("seeds", lambda cell: str(cell.seed)),
    ):
        wanted = getattr(args, option)
        if wanted is not None:
            _check(f"--{option}", wanted.split(","), dict.fromkeys(map(key, cells)))
            cells = [cell for cell in cells if key(cell) in wanted.split(",")]
    return cells


def _check(argument: str, names: Sequence[str], known: dict[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{argument}: expected one of {', '.join(known)}; got {name!r}")


def missing_of(runs: Sequence[Run], args: argparse.Namespace) -> list[Run]:
    """The runs that are not finished; with --keep, without those of the kept results."""
    missing = [run for run in runs if run.state() is not State.FINISHED]
    if args.keep:
        results = {study.name: kept.read(study, RESULTS) for study in STUDIES.values()}
        missing = [run for run in missing if not kept.has(results[run.cell.study.name], run.cell)]
    return missing


def overview(args: argparse.Namespace) -> str:
    """The table of `--list`."""
    rows = []
    for study in STUDIES.values():
        runs = [Run(cell, args.out) for cell in study.cells()]
        missing = missing_of(runs, args)
        minutes = sum(run.cell.minutes for run in missing)
        done = f"{len(runs) - len(missing)} of {len(runs)}"
        rows.append([study.name, study.question, done, f"{minutes / 60:.1f} h"])
    return table(["study", "question", "runs done", "left, on one core"], rows, left=2)


def run_all(runs: Sequence[Run], args: argparse.Namespace) -> bool:
    """Do the runs that are not finished. Writes results after each; true if all went well."""
    todo = missing_of(runs, args)
    facts = machine(args.jobs)
    progress = Progress(len(todo))

    def tell(run: Run, text: str) -> None:
        progress.step(f"{run.cell}: {text}")
        keep([run.cell.study], args)

    def start(run: Run) -> Any:
        return run.start({**facts, **moment()}, args.threads, args.device)

    try:
        return Pool(start, args.jobs, tell, 60 * args.minutes).run(todo)
    finally:
        progress.close()


def keep(studies: Sequence[Study], args: argparse.Namespace) -> None:
    """Write the result of each study that has a finished run."""
    folder = result_folder(args)
    with lock(kept.LOCK if args.keep else args.out / kept.LOCK.name, wait=True):
        for study in studies:
            result = collect(study, [Run(cell, args.out) for cell in study.cells()])
            if args.keep:
                result = kept.merge(study, kept.read(study, folder), result)
            if result:
                write(result, folder / f"{study.name}.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 if a run failed, was stopped, or is not yet done, 2 for a wrong option."""
    made = parser()
    args = made.parse_args(argv)
    try:
        cells = chosen(args)
    except ValueError as error:
        made.error(str(error))
    try:
        if args.list:
            print(overview(args))
            return 0
        runs = [Run(cell, args.out) for cell in cells]
        if args.dry_run:
            for run in runs:
                print(f"{run.state().value}: python {' '.join(run.cell.arguments())}")
            return 0
        done = args.collect or run_all(runs, args)
        keep([STUDIES[name] for name in args.studies or STUDIES], args)
    except ValueError as error:
        raise SystemExit(f"examples.studies: error: {error}") from None
    return 0 if done else 1


if __name__ == "__main__":
    with pipe_may_close():
        status = main()
    sys.exit(status)
