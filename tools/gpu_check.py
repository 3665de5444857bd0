"""`make gpu-check`: what a machine with a GPU can tell, in steps that survive each other.

Offline, no root, with the torch that this Python has. Each step is one process or several, each
with its own limit, so that a hang, a crash or a lost device costs that process alone. The order is
by worth: does it run and is it right (smoke), tests, times, whole models, profile, variants,
sanitizers. docs/gpu-run.md says how to read the results.

    python -m tools.gpu_check                         everything, in less than --seconds
    python -m tools.gpu_check --only smoke bench      some steps
    python -m tools.gpu_check --prebuilt gpu-bundle   with modules that `make gpu-bundle` built
    python -m tools.gpu_check --rehearse              on the CPU, at tiny sizes

$OUT (else build/gpu-check/out) receives at most eight files: summary.json, <gpu>.json (every time
and target), <gpu>-variants.json, two profiles and logs.tar.gz. The summary is printed last, in
under 12,000 characters. Exit status 0: every part passed.
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
    """A row for each part, the targets, and what failed; in at most PRINTED characters."""
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
    """The end of the log of each part that failed."""
    for result in check.results:
        log = check.log(result.step, result.part)
        if result.verdict == FAIL and log.exists():
            print(f"-- {result.step}: {result.part}")
            print(log.read_bytes()[-characters:].decode(errors="replace"), flush=True)


def keep(check: Check) -> None:
    """What is known so far, on disk: summary.json, the logs, and the figures beside the results."""
    (check.out / "summary.json").write_text(json.dumps(check.content(), indent=1) + "\n")
    check.archive()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [step.name for step in STEPS]
    parser.add_argument("--rehearse", action="store_true", help="all of it on the CPU, tiny")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="STEP")
    parser.add_argument("--skip", nargs="+", choices=names, default=[], metavar="STEP")
    parser.add_argument("--part", nargs="+", metavar="PART", help="these parts of the steps alone")
    parser.add_argument("--seconds", type=float, default=575.0, help="no part runs after these")
    parser.add_argument("--prebuilt", type=Path, help="the folder that `make gpu-bundle` made")
    parser.add_argument(
        "--inject",
        nargs="+",
        default=[],
        metavar="STEP/PART=FAILURE",
        help=f"in a rehearsal, a failure ({', '.join(INJECTED)}) in the place of a part",
    )
    parser.add_argument(
        "--hang-limit", type=float, help="seconds after which an injected hang ends"
    )
    return parser.parse_args()


def main() -> int:
    args = parse()
    out = Path(os.environ.get("OUT") or TREE.parent / "out")
    check = Check(TREE, out, rehearse=args.rehearse, prebuilt=args.prebuilt)
    check.injected = dict(item.rsplit("=", 1) for item in args.inject)
    check.hang_limit = args.hang_limit
    end = time.monotonic() + args.seconds
    problem = prepare(check)
    if problem:
        print(f"nothing can run: {problem}")
        return 2
    # Modules that are there already take seconds, and are what everything else runs.
    for step in [s for s in STEPS if s.name in {"build", *args.only} - set(args.skip)]:
        only = args.part if step.name != "build" else None
        results = check.run_step(step, end - time.monotonic(), only)
        keep(check)
        if step.name == "build" and any(r.verdict != PASS for r in results):
            break
    show_failures(check)
    print("\n== summary" + (" of a rehearsal: its figures mean nothing" if check.rehearse else ""))
    print(summary(check))
    print(f"written: {check.out}")
    return int(any(r.verdict not in (PASS, ABSENT) for r in check.results))


if __name__ == "__main__":
    sys.exit(main())
