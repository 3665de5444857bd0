"""Record targets, passes, comparisons and models: `make bench-results`, when idle, 30 minutes.

Runs the steps below in order of importance, each in its own process, and writes to bench/results/.
A step that cannot end within --minutes is skipped and named. Each result file records its duration;
a final table shows all durations, and results/<cpu>-record.json stores them beside those of steps
that ran before.

    python -m bench.record --dry-run            # the commands and their expected durations
    python -m bench.record --only targets,passes

The other committed figures take a command each, with --keep: `python -m bench lengths`, `mixers`,
`cores`, `threads`, and `sweep` for each dtype and pass.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.arguments import duration, run_main
from bench.folders import RESULTS
from bench.measure import machine
from bench.shapes import AWKWARD, label
from bench.written import write_json
from fnet_kernels._terminal import table

ROOT = Path(__file__).parent.parent
_ROUNDS = ("--seconds", "1", "--rounds", "15", "--patience", "8")
#: Equal tokens; lengths a factor of 2 to 4 apart, to fit into the time.
_SWEEP = "128x128x768,32x512x768,8x2048x768,2x8192x768,1x16384x768"
_SHORT = "8x512x768,2x2048x768,1x4096x768"
_AWKWARD = ",".join(map(label, AWKWARD))


@dataclass(frozen=True)
class Step:
    """One command: the arguments after `python`, and its expected duration in minutes."""

    name: str
    minutes: float
    words: tuple[str, ...]


def command(folder: str, *words: str) -> tuple[str, ...]:
    """The arguments of `python -m bench` that write to a folder of this machine."""
    out = str(RESULTS / f"{machine.slug()}-{folder}")
    return ("-m", "bench", "--device", "cpu", *words, "--out", out)


def steps(out: Path = RESULTS) -> list[Step]:
    """All steps, in order."""
    targets = ("-m", "bench.targets", "--rounds", "15", "--patience", "120", "--out", str(out))
    sweep = ("--shapes", f"{_SWEEP},{_AWKWARD}", *_ROUNDS, "--layers", "512,16384")
    short = ("--shapes", _SHORT, *_ROUNDS, "--layers", "none")
    models = ("-m", "bench.models", "--task", "both", "--out", str(out))
    counts = ("-m", "bench.instructions", "--out", str(out / "instructions-avx2.json"))
    return [
        Step("targets", 4, targets),
        Step("passes", 1, ("-m", "bench.passes", "--rounds", "25", "--out", str(out))),
        Step("forward fp32", 12.5, command("fp32-forward", *sweep)),
        Step("models", 6, models),
        Step("both fp32", 2.5, command("fp32-both", *short, "--pass", "both")),
        Step("forward bf16", 2, command("bf16-forward", *short, "--dtype=bf16")),
        Step("instructions", 2, counts),
    ]


def main() -> int:
    """Run the steps. Returns 1 if a step failed or was skipped."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.record",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=duration, default=30.0, help="default: %(default)s")
    parser.add_argument("--only", help="names of steps, separated by commas")
    parser.add_argument("--dry-run", action="store_true", help="print the commands")
    args = parser.parse_args()
    every = steps()
    names = args.only.split(",") if args.only else [step.name for step in every]
    unknown = set(names) - {step.name for step in every}
    if unknown:
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    chosen = [step for step in every if step.name in names]
    for step in chosen:
        print(f"{step.name}, {step.minutes:g} min: python {' '.join(step.words)}")
    if args.dry_run:
        return 0
    facts = machine.describe()
    if machine.is_busy(facts):
        print("NOTE: other programs are running: do not commit these figures")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    end = time.monotonic() + 60 * args.minutes
    rows: dict[str, dict[str, object]] = {}
    for step in chosen:
        start = time.monotonic()
        if start + 60 * step.minutes > end:
            rows[step.name] = {"status": "skipped: no time left", "seconds": 0}
            continue
        print(f"\n=== {step.name}", flush=True)
        words = [sys.executable, *step.words]
        status = subprocess.run(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}).returncode
        seconds = round(time.monotonic() - start)
        row = {"status": f"exit status {status}" if status else "", "seconds": seconds}
        rows[step.name] = row | {"date": str(facts["date"])[:10]}
    body = [[name, f"{row['seconds']}", str(row["status"] or "done")] for name, row in rows.items()]
    print(f"\n{table(['step', 'seconds', ''], body)}")
    ran = {name: row for name, row in rows.items() if not str(row["status"]).startswith("skipped")}
    if not ran:
        return 1
    facts["load_at_end"] = machine.load()
    written = RESULTS / f"{machine.slug()}-record.json"
    before = json.loads(written.read_text())["steps"] if written.exists() else {}
    content = {"machine": facts, "steps": rows | before | ran}
    write_json(written, content)
    print(f"written: {written}")
    return int(any(row["status"] for row in rows.values()))


if __name__ == "__main__":
    run_main(main)
