"""`make gpu-check`: all checks and measurements on a machine with a GPU, in independent steps.

Runs offline, without root, with the torch of this Python. Each part of a step is a process with its
own time limit, so a hang, a crash or a lost device costs only that process. The steps run by
importance: smoke (does it run, is it correct), tests, times, whole models, profile, variants, other
shapes, sanitizers. docs/gpu-run.md explains the results.

    python -m tools.gpu_check                         all steps, in less than --seconds
    python -m tools.gpu_check --only smoke bench      some steps
    python -m tools.gpu_check --prebuilt gpu-bundle   use the modules that `make gpu-bundle` built
    python -m tools.gpu_check --rehearse              on the CPU, at tiny sizes

Writes at most eight files to $OUT, or to build/gpu-check/out: summary.json, <gpu>.json (all times
and targets), <gpu>-variants.json, two profiles and logs.tar.gz. At the end it prints a summary of
less than 12,000 characters. Exit status 0 means that every part passed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tools.gpu_step import ABSENT, FAIL, INJECTED, PASS, Check, line
from tools.gpu_steps import STEPS, TREE, prepare

PRINTED = 11_500  # characters of the summary


def summary(check: Check) -> str:
    """A line per part and per target, in at most PRINTED characters."""
    rows = [line(result) for result in check.results]
    for path in sorted(check.out.glob("*.json")):
        targets = json.loads(path.read_text()).get("targets", [])
        for t in targets:
            outcome = f"({t['limit']}) {'met' if t['met'] else 'MISSED'}"
            rows.append(f"{t['target']}: {t['measured']:.2f} {outcome}, {t['where']}")
    text = "\n".join(rows)
    if len(text) > PRINTED:
        text = f"{text[: PRINTED // 2]}\n...\n{text[-PRINTED // 2 :]}"
    return text


def show_failures(check: Check, characters: int = 1500) -> None:
    """Print the end of the log of each failed part."""
    for result in check.results:
        log = check.log(result.step, result.part)
        if result.verdict == FAIL and log.exists():
            print(f"-- {result.step}: {result.part}")
            print(log.read_bytes()[-characters:].decode(errors="replace"), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [step.name for step in STEPS]
    parser.add_argument(
        "--rehearse", action="store_true", help="run everything on the CPU at tiny sizes"
    )
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="STEP")
    parser.add_argument("--skip", nargs="+", choices=names, default=[], metavar="STEP")
    parser.add_argument(
        "--part", nargs="+", metavar="PART", help="run only these parts of the steps"
    )
    parser.add_argument("--seconds", type=float, default=575.0, help="time limit for all parts")
    parser.add_argument("--prebuilt", type=Path, help="the folder written by `make gpu-bundle`")
    parser.add_argument(
        "--inject",
        nargs="+",
        default=[],
        metavar="STEP/PART=FAILURE",
        help=f"in a rehearsal, replace a part by a failure ({', '.join(INJECTED)})",
    )
    parser.add_argument(
        "--hang-limit", type=float, help="time limit of an injected hang in seconds"
    )
    return parser.parse_args()


def main() -> int:
    args = parse()
    out = Path(os.environ.get("OUT") or TREE.parent / "out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"cannot run: OUT: cannot write to {out}: {error.strerror}")
        return 2
    check = Check(TREE, out, rehearse=args.rehearse, prebuilt=args.prebuilt)
    check.injected = dict(item.rsplit("=", 1) for item in args.inject)
    check.hang_limit = args.hang_limit
    end = time.monotonic() + args.seconds
    problem = prepare(check)
    if problem:
        print(f"cannot run: {problem}")
        return 2
    # Always build: all steps need the modules, and an up-to-date build takes seconds.
    for step in [s for s in STEPS if s.name in {"build", *args.only} - set(args.skip)]:
        only = args.part if step.name != "build" else None
        results = check.run_step(step, end - time.monotonic(), only)
        if step.name == "build" and any(r.verdict != PASS for r in results):
            break
    if args.part and not set(args.part) <= (known := {result.part for result in check.results}):
        unknown, has = sorted(set(args.part) - known), sorted(known)
        print(f"--part: no such part: {', '.join(unknown)}; expected of {', '.join(has)}")
        return 2
    show_failures(check)
    print("\n== summary" + (" of a rehearsal: its figures mean nothing" if check.rehearse else ""))
    print(summary(check))
    print(f"written: {check.out}")
    return int(any(r.verdict not in (PASS, ABSENT) for r in check.results))


if __name__ == "__main__":
    sys.exit(main())
