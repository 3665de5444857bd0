"""`make gpu-check`: build for the GPU that is here, test, sanitize and measure. Offline, no root.

Uses the torch that this Python has. Builds in a copy of the tree under build/gpu-check, which a
second run builds upon. A step that fails does not stop those after it (only without a build there
is nothing to run); each has a limit of time, and all together take less than ten minutes. Logs,
figures and summary.json go to $OUT if that is set, else to build/gpu-check. Exit status 0: all
passed.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "gpu-check" / "tree"
TOTAL = 575.0  # seconds
NOT_SOURCES = {".git", ".venv", "build", "dist", "__pycache__", ".pytest_cache", ".ruff_cache"}
PASS, FAIL, ABSENT = "pass", "FAIL", "absent"

PROBE = """
import json, torch
found = {"torch": torch.__version__, "cuda": torch.version.cuda}
if torch.cuda.is_available():
    found["capability"] = "{}.{}".format(*torch.cuda.get_device_capability())
    found["device"] = torch.cuda.get_device_name()
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Step:
    """A part of the check. `least`: the seconds that the steps before it must leave; `most`: the
    seconds that it may take whatever is left."""

    name: str
    least: float
    run: Callable[[Check, float], tuple[str, str]]  # seconds allowed -> verdict, remark
    shown: int = 12  # last lines of the log to print
    most: float = TOTAL
    beside: bool = False  # runs together with the step before


class Check:
    """Where things are, and how a command is run and logged."""

    def __init__(self, rehearse: bool) -> None:
        self.rehearse = rehearse
        self.out = Path(os.environ.get("OUT") or TREE.parent)
        self.out.mkdir(parents=True, exist_ok=True)
        self.machine: dict[str, str] = {}
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(TREE), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            "FNET_CUDA": "0" if rehearse else "1",
            "FNET_GPU_TESTS": "rehearse" if rehearse else "require",
        }
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        self.environment.setdefault("MAX_JOBS", str(cores or os.cpu_count() or 1))

    def log(self, name: str) -> Path:
        return self.out / f"{name}.log"

    def command(
        self, name: str, words: list[str], limit: float, **variables: str
    ) -> tuple[int | None, str]:
        """Run `words` in the tree, logged; the exit status (None: out of time) and a remark."""
        with self.log(name).open("a") as log:
            print("$", *words, file=log, flush=True)
            child = subprocess.Popen(
                words,
                cwd=TREE,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what it started ends with it
            )
            try:
                status = child.wait(max(limit, 1.0))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return None, f"stopped after {limit:.0f} s"
        return status, f"exit status {status}" if status else ""

    def python(self, name: str, *words: str, limit: float, **variables: str) -> tuple[str, str]:
        """The same with this Python: verdict and remark."""
        status, remark = self.command(name, [sys.executable, *words], limit, **variables)
        return (FAIL if status else PASS) if status is not None else FAIL, remark


def update_tree() -> None:
    """Make TREE a copy of the sources; what has not changed keeps its time, for ninja's sake."""

    def sources(root: Path) -> set[Path]:
        found = set()
        for folder, names, files in os.walk(root):
            names[:] = [n for n in names if n not in NOT_SOURCES and not n.endswith(".egg-info")]
            found |= {Path(folder, file).relative_to(root) for file in files}
        return {path for path in found if path.suffix != ".so"}

    TREE.mkdir(parents=True, exist_ok=True)
    # An older setuptools does not understand pyproject.toml, and setup.py needs nothing of it.
    wanted = sources(ROOT) - {Path("pyproject.toml")}
    for path in sources(TREE) - wanted:
        (TREE / path).unlink()
    for path in wanted:
        target = TREE / path
        if not (target.exists() and filecmp.cmp(ROOT / path, target, shallow=False)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target)


def build(check: Check, limit: float) -> tuple[str, str]:
    """The extensions in a copy of the tree, for the architecture that is here."""
    update_tree()
    probe = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=False, cwd=TREE
    )
    if probe.returncode:
        return FAIL, f"{sys.executable} has no torch: {probe.stderr.strip().splitlines()[-1]}"
    check.machine = json.loads(probe.stdout.splitlines()[-1])
    print(f"   {check.machine}", flush=True)
    if check.rehearse:  # what is built already, and a setup.py that starts without pyproject.toml
        for extension in (ROOT / "fnet_kernels").glob("*.so"):
            shutil.copy2(extension, TREE / "fnet_kernels")
        return check.python("build", "setup.py", "build_ext", "--help", limit=limit)
    if "capability" not in check.machine:
        return FAIL, "torch finds no CUDA device"
    check.environment["TORCH_CUDA_ARCH_LIST"] = check.machine["capability"]
    return check.python("build", "setup.py", "build_ext", "--inplace", limit=limit)


def tests(check: Check, limit: float) -> tuple[str, str]:
    """python_tests/gpu; that they are skipped is an error here."""
    words = ["-m", "pytest", "python_tests/gpu", "-v", "-rfE", "--tb=short", "--durations=10"]
    return check.python("tests", *words, "-p", "no:cacheprovider", limit=limit)


def find_sanitizer() -> str | None:
    """compute-sanitizer on PATH, in CUDA_HOME, beside nvcc, or in the usual place."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    nvcc = shutil.which("nvcc")
    homes += [str(Path(nvcc).resolve().parent.parent)] if nvcc else []
    folders = [
        str(Path(home, part)) for home in homes if home for part in ("bin", "compute-sanitizer")
    ]
    return shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path=os.pathsep.join(folders)
    )


#: Each tensor an allocation of its own: an access outside of it is then seen.
UNCACHED = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
#: compute-sanitizer watches our kernels alone.
OURS = ("--kernel-name", "kns=fnet")
FOUND = 9  # the exit status that says that a tool found something


def sanitizer(tool: str, *options: str, script: tuple[str, ...] = ()) -> Step:
    """One of compute-sanitizer's tools over tools/gpu_sanitize.py."""

    def run(check: Check, limit: float) -> tuple[str, str]:
        if check.rehearse:
            if tool != "memcheck":
                return PASS, "rehearsed with memcheck"
            return check.python(tool, SCRIPT, "--rehearse", limit=limit, **UNCACHED)
        found = find_sanitizer()
        if found is None:
            return ABSENT, "there is no compute-sanitizer on PATH, in CUDA_HOME or beside nvcc"
        words = [found, "--tool", tool, "--error-exitcode", str(FOUND), "--launch-timeout", "60"]
        words += [*OURS, *options, sys.executable, SCRIPT]
        if tool == "initcheck":  # a filter that matches no kernel would find nothing in any tool
            status, _ = check.command(tool, [*words, "--control"], limit / 2, **UNCACHED)
            if status != FOUND:
                return FAIL, f"an unwritten x was not found: exit status {status}"
        status, remark = check.command(tool, [*words, *script], limit, **UNCACHED)
        return (PASS if status == 0 else FAIL), remark

    return Step(tool, 60, run, shown=4, most=240, beside=True)


SCRIPT = "tools/gpu_sanitize.py"


def bench(check: Check, limit: float) -> tuple[str, str]:
    """python -m bench.gpu; its JSON is kept beside the logs and in bench/results."""
    words = ["-m", "bench.gpu", "--out", str(check.out), "--seconds", f"{max(limit - 45, 30):.0f}"]
    words += ["--rehearse"] * check.rehearse
    started = time.time()
    verdict, remark = check.python("bench", *words, limit=limit)
    for path in check.out.glob("*.json"):
        if path.stat().st_mtime < started:
            continue
        bars = json.loads(path.read_text()).get("bars", [])
        remark += f"; {sum(bar['pass'] for bar in bars)} of {len(bars)} bars kept"
        if not check.rehearse:
            shutil.copy2(path, ROOT / "bench" / "results")
    return verdict, remark.removeprefix("; ")


STEPS = [
    Step("build", 120, build, shown=3),
    Step("tests", 90, tests),
    sanitizer("memcheck", "--report-api-errors", "no"),
    sanitizer("racecheck"),
    # What kernels that are not watched have written counts as unwritten: cuFFT's are left out.
    sanitizer("initcheck", script=("--own",)),
    Step("bench", 120, bench, shown=60),
]


def together(steps: list[Step]) -> list[list[Step]]:
    """Steps in groups that run at the same time; the benchmark is alone."""
    groups: list[list[Step]] = []
    for step in steps:
        if step.beside and groups and groups[-1][0].name != "build":
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rehearse", action="store_true", help="all of it on the CPU, tiny")
    names = [step.name for step in STEPS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="STEP")
    parser.add_argument("--skip", nargs="+", choices=names, default=[], metavar="STEP")
    args = parser.parse_args()
    check = Check(args.rehearse)
    end = time.monotonic() + TOTAL
    results: dict[str, dict[str, str | float]] = {}
    # A build that is there already takes seconds, and says what machine this is.
    wanted = {"build", *args.only} - set(args.skip)
    groups = together([step for step in STEPS if step.name in wanted])

    def run(step: Step, left: float) -> None:
        check.log(step.name).unlink(missing_ok=True)
        started = time.monotonic()
        try:
            verdict, remark = step.run(check, min(left, step.most))
        except Exception as error:  # the other steps still have something to say
            verdict, remark = FAIL, f"{type(error).__name__}: {error}"
        seconds = round(time.monotonic() - started, 1)
        results[step.name] |= {"verdict": verdict, "remark": remark, "seconds": seconds}

    for i, group in enumerate(groups):
        print("==", *(step.name for step in group), flush=True)
        if results.get("build", {"verdict": PASS})["verdict"] != PASS:
            for step in group:
                remark = "not run: there is no build"
                results[step.name] = {"verdict": FAIL, "remark": remark, "seconds": 0.0}
        else:
            later = sum(max(step.least for step in more) for more in groups[i + 1 :])
            left = end - time.monotonic() - later
            results |= {step.name: {} for step in group}  # in this order, whoever ends first
            with ThreadPoolExecutor(len(group)) as pool:
                list(pool.map(run, group, [left] * len(group)))
        for step in group:
            log, verdict = check.log(step.name), results[step.name]["verdict"]
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()
                shown = step.shown if verdict == PASS else max(step.shown, 40)
                print("\n".join(lines[-shown:]))
        content = {"rehearsal": check.rehearse, "machine": check.machine, "steps": results}
        (check.out / "summary.json").write_text(json.dumps(content, indent=1) + "\n")

    print("\n== summary" + (" of a rehearsal: its figures mean nothing" if check.rehearse else ""))
    for name, result in results.items():
        line = f"{name:<10} {result['verdict']:<6} {result['seconds']:6.1f} s  {result['remark']}"
        print(line.rstrip())
    print(f"logs and figures: {check.out}")
    return int(any(result["verdict"] != PASS for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
