"""The cost of the CUDA kernels, measured without a GPU."""

from __future__ import annotations

import argparse
import json
import sys

from build_backend import fnet_nvcc
from tools.cuda_sim import ROOT
from tools.kernel_report import RESULT, Figures
from tools.kernel_report.audit import audit, plans
from tools.kernel_report.compiled import CHECKED, OTHERS, compiled, fingerprint
from tools.kernel_report.tables import REASONS, show
from tools.kernel_report.targets import compared, misses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--audit-only", action="store_true", help="run only the simulator")
    parser.add_argument(
        "--compile", action="store_true", help="also if the recorded figures are of these sources"
    )
    args = parser.parse_args()
    recorded = json.loads(RESULT.read_text())
    kernels, passes = audit()
    report: Figures = {"audit": kernels, "passes": passes, "plans": plans()}
    report |= {"compiler": {}, "reasons": REASONS}
    report["sources"] = fingerprint(ROOT / "csrc")
    same = report["sources"] == recorded["sources"] and not args.compile
    toolkit = None
    try:
        if not (same or args.audit_only):
            toolkit = fnet_nvcc.find_toolkit()
    except fnet_nvcc.CannotBuild as error:
        print(f"the compiler's figures are missing: {error}")
    if same:  # a compiler says the same of the same sources
        report |= {key: recorded[key] for key in ("compiler", "nvcc")}
    elif toolkit is not None:
        report["nvcc"] = ".".join(map(str, toolkit.version))
        objects = ROOT / "build" / "objects"
        report["compiler"] = compiled(toolkit, CHECKED, objects / "cuda")  # as `make cuda-build`
        if not args.check:
            report["compiler"] |= compiled(toolkit, OTHERS, objects / "cuda-report")
    show(report)
    problems = misses(report)
    if args.check:
        problems += compared(report, recorded)
    else:
        RESULT.write_text(json.dumps(report, indent=1) + "\n")
        print(f"\nwritten: {RESULT.relative_to(ROOT)}")
    for problem in problems:
        print(f"WORSE OR MISSED: {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
