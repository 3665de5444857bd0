"""The cost of the CUDA kernels, measured without a GPU.

Figures that are recorded for the present code are not measured again, except with --again.
"""

from __future__ import annotations

import argparse
import json
import sys

from build_backend import fnet_nvcc
from tools.cuda_sim import ROOT
from tools.kernel_report import RESULT, Figures
from tools.kernel_report.audit import audit, plans
from tools.kernel_report.compiled import CHECKED, OTHERS, compiled
from tools.kernel_report.fingerprint import audited_code, compiled_code
from tools.kernel_report.tables import REASONS, show
from tools.kernel_report.targets import compared, misses


def of_compiler(others: tuple[str, ...]) -> Figures:
    """The figures of nvcc for CHECKED and `others`; without nvcc none, and a line says so."""
    try:
        toolkit = fnet_nvcc.find_toolkit()
    except fnet_nvcc.CannotBuild as error:
        print(f"the compiler's figures are missing: {error}")
        return {}
    objects = ROOT / "build" / "objects"
    figures = compiled(toolkit, CHECKED, objects / "cuda")  # as `make cuda-build`
    if others:
        figures |= compiled(toolkit, others, objects / "cuda-report")
    return {"nvcc": ".".join(map(str, toolkit.version)), "compiler": figures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--audit-only", action="store_true", help="run only the simulator")
    parser.add_argument(
        "--again", action="store_true", help="also if the recorded figures are of this code"
    )
    args = parser.parse_args()
    recorded = json.loads(RESULT.read_text())
    csrc = ROOT / "csrc"
    report: Figures = {"audited": audited_code(csrc), "sources": compiled_code(csrc)}
    if report["audited"] == recorded.get("audited") and not args.again:
        report |= {key: recorded[key] for key in ("audit", "passes")}
    else:
        report["audit"], report["passes"] = audit()
    report |= {"plans": plans(), "compiler": {}, "reasons": REASONS}
    if report["sources"] == recorded["sources"] and not args.again:
        report |= {key: recorded[key] for key in ("compiler", "nvcc")}
    elif not args.audit_only:
        report |= of_compiler(() if args.check else OTHERS)
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
