"""The steps of the GPU check: what each runs, in which order, and how long it may take.

defines: STEPS, TREE, prepare
"""

from __future__ import annotations

import filecmp
import importlib.util
import json
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.gpu_bundle import fingerprint
from tools.gpu_step import Check, Part, Step

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "gpu-check" / "tree"
NOT_SOURCES = {".git", ".venv", "build", "dist", "__pycache__", ".pytest_cache", ".ruff_cache"}

PROBE = """
import json, torch
found = {"torch": torch.__version__, "cuda": torch.version.cuda}
if torch.cuda.is_available():
    found["capability"] = "{}.{}".format(*torch.cuda.get_device_capability())
    found["device"] = torch.cuda.get_device_name()
print(json.dumps(found))
"""
LOADS = """
from fnet_kernels._ops.load import CUDA_UNAVAILABLE_REASON, DEVICES
assert "cuda" in DEVICES, CUDA_UNAVAILABLE_REASON
"""


def python(name: str, *words: str, limit: float, **more: object) -> Part:
    """A part that this Python runs."""
    return Part(name, [sys.executable, *words], limit, **more)  # type: ignore[arg-type]


def rehearsed(check: Check) -> list[str]:
    return ["--rehearse"] if check.rehearse else []


def update_tree() -> None:
    """Make TREE a copy of the sources; what has not changed keeps its time, for ninja's sake."""

    def sources(root: Path) -> set[Path]:
        found = set()
        for folder, names, files in os.walk(root):
            names[:] = [n for n in names if n not in NOT_SOURCES and not n.endswith(".egg-info")]
            names[:] = [n for n in names if not n.startswith("gpu-bundle")]
            found |= {Path(folder, file).relative_to(root) for file in files}
        return {path for path in found if path.suffix != ".so"}

    TREE.mkdir(parents=True, exist_ok=True)
    # An older setuptools does not understand pyproject.toml, and setup.py needs nothing of it.
    wanted = sources(ROOT) - {Path("pyproject.toml")}
    for path in sources(TREE) - wanted - {Path("pytest.ini")}:
        (TREE / path).unlink()
    # Without it pytest would take pyproject.toml of ROOT, and with it ROOT's modules.
    (TREE / "pytest.ini").write_text("[pytest]\n")
    for path in wanted:
        target = TREE / path
        if not (target.exists() and filecmp.cmp(ROOT / path, target, shallow=False)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target)


def prepare(check: Check) -> str:
    """Copy the tree, ask for the device; why nothing can run, or ""."""
    update_tree()
    words = [sys.executable, "-c", PROBE]
    try:
        probe = subprocess.run(words, capture_output=True, text=True, cwd=TREE, timeout=120)
    except subprocess.TimeoutExpired:
        return "torch does not answer within 120 s"
    if probe.returncode:
        return f"{sys.executable} has no torch: {probe.stderr.strip().splitlines()[-1]}"
    check.machine = json.loads(probe.stdout.splitlines()[-1])
    print(f"   {check.machine}", flush=True)
    if not check.rehearse and "capability" not in check.machine:
        return "torch finds no CUDA device"
    check.environment["TORCH_CUDA_ARCH_LIST"] = check.machine.get("capability", "")
    return ""


def build(check: Check) -> list[Part]:
    """The extensions: those that were brought along, or else built for the device that is here."""
    package = TREE / "fnet_kernels" / "lib"
    if check.rehearse:  # what is built already, and a setup.py that starts without pyproject.toml
        copy_modules(ROOT / "fnet_kernels" / "lib", package)
        return [python("setup.py starts", "setup.py", "build_ext", "--help", limit=120)]
    if check.prebuilt:
        bundle = json.loads((check.prebuilt / "bundle.json").read_text())
        if bundle["sources"] != fingerprint(ROOT):
            return [Part("bundle", None, 0, remark="the bundle is of other sources: build it anew")]
        capability = check.machine.get("capability", bundle["arch"])
        if capability != bundle["arch"]:
            remark = f"the bundle is for {bundle['arch']}, the device has {capability}"
            return [Part("bundle", None, 0, remark=remark)]
        copy_modules(check.prebuilt, package)
        return [python("prebuilt modules load", "-c", LOADS, limit=60)]
    return [python("setup.py", "setup.py", "build_ext", "--inplace", limit=300)]


def copy_modules(source: Path, package: Path) -> None:
    """The compiled modules of one folder, which may be compressed, into another."""
    package.mkdir(exist_ok=True)
    for module in source.glob("libfnet*.so"):
        shutil.copy2(module, package)
    for module in source.glob("libfnet*.so.xz"):
        (package / module.stem).write_bytes(lzma.decompress(module.read_bytes()))


def smoke(check: Check) -> list[Part]:
    """Does each kernel run, is it right; then how fast, beside a copy."""
    parts = []
    for name in ("forward", "training", "backward", "general"):
        words = ["-m", "tools.gpu_smoke", name, *rehearsed(check)]
        # 20 s of work each, which the script itself ends; the rest is for imports.
        parts.append(python(name, *words, limit=60, backward=name == "backward"))
    return [*parts, bench_part(check, "first times", 60)]


TEST_LIMIT = 90  # seconds of one test
TEST_FILES = ("accuracy", "inputs", "torch", "streams")


def tests(check: Check) -> list[Part]:
    """python_tests/gpu, a process for each file; that they are skipped is an error here."""
    options = ["-rfE", "--tb=short", "--durations=5", "-p", "no:cacheprovider", "-q"]
    # A test that waits for the device cannot be interrupted: where it is is printed, and pytest 9
    # ends the process. An older one waits for the limit of the part.
    options += ["-o", f"faulthandler_timeout={TEST_LIMIT}"]
    options += ["-o", "faulthandler_exit_on_timeout=true"]
    command = ["-m", "pytest", *options]
    # The same tests without what runs the backward pass, which may lose the device.
    forward = {"FNET_GPU_FORWARD": "1"}
    first = "python_tests/gpu/test_gpu_accuracy.py"
    only = (first, "-k", "not gradient")
    parts = [python("forward", *command, *only, limit=120, variables=forward)]
    for name in TEST_FILES:
        file = f"python_tests/gpu/test_gpu_{name}.py"
        parts.append(python(name, *command, file, limit=180, backward=True))
    return parts


#: The parts of bench.gpu in their order, and the seconds that each may take.
BENCH_PARTS = {
    "forward bf16": 150,
    "forward bf16 long": 90,
    "layer bf16": 60,
    "forward fp32": 60,
    "step bf16": 90,
    "step bf16 long": 90,
    "memory": 40,
    "kernels": 40,
    "step fp32": 60,
    "general path": 40,
    "forward, other shapes": 120,
    "step, other shapes": 150,
}


def bench_part(check: Check, name: str, limit: float, backward: bool = False) -> Part:
    """One part of bench.gpu; its figures join the JSON of the parts before."""
    words = ["-m", "bench.gpu", "--part", name, "--out", str(check.out), *rehearsed(check)]
    words += ["--seconds", f"{limit - 15:.0f}"]
    return python(name, *words, limit=limit, backward=backward)


def bench(check: Check) -> list[Part]:
    """Times against all rivals, and the targets."""
    backward = ("step", "kernels", "memory")
    return [
        bench_part(check, name, limit, name.startswith(backward))
        for name, limit in BENCH_PARTS.items()
    ]


MODEL_PARTS = ("inference eager", "inference compiled", "training eager", "training compiled")


def models(check: Check) -> list[Part]:
    """FNet-Base and BERT-Base of transformers, stock and patched."""
    if importlib.util.find_spec("transformers") is None:
        return [Part("models", None, 0, remark="there is no transformers here")]
    parts = []
    for name in MODEL_PARTS:
        limit = 180 if "compiled" in name else 80
        words = ["-m", "bench.gpu.models", *name.split(), *rehearsed(check)]
        words += ["--out", str(check.out), "--seconds", f"{limit - 20}"]
        parts.append(python(name, *words, limit=limit, backward=name.startswith("training")))
    return parts


def find_tool(name: str) -> str | None:
    """A tool of the CUDA toolkit: on PATH, in CUDA_HOME, beside nvcc, or in the usual place."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    nvcc = shutil.which("nvcc")
    homes += [str(Path(nvcc).resolve().parent.parent)] if nvcc else []
    folders = [str(Path(home, part)) for home in homes if home for part in ("bin", name)]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


WORKLOAD = ("-m", "tools.gpu_workload")


def profile(check: Check) -> list[Part]:
    """Hardware counters of every kernel of a forward and a backward, by ncu."""
    ncu = find_tool("ncu")
    parts = []
    for shape in ("32x512x768", "4x4096x768"):
        file = check.out / f"profile-{shape}.ncu-rep"
        workload = [sys.executable, *WORKLOAD, "--shape", shape, "--dtype", "bfloat16"]
        if check.rehearse:
            command = [*workload, "--rehearse"]
        elif ncu is None:
            return [Part("ncu", None, 0, remark="there is no ncu on PATH or beside nvcc")]
        else:
            command = [ncu, "--set", "full", "--clock-control", "none", "-f", "-o"]
            command += [str(file.with_suffix("")), "--kernel-name-base", "demangled"]
            command += ["--kernel-name", "regex:fnet", "--launch-count", "40", *workload]
        written = None if check.rehearse else file
        parts.append(Part(shape, command, 120, backward=True, creates=written))
        if ncu is not None and not check.rehearse:  # readable without ncu, in the logs
            raw = [ncu, "--import", str(file), "--page", "raw", "--csv"]
            parts.append(Part(f"{shape} as text", raw, 30, backward=True))
    return parts


ROUNDS = 3  # of all variants, in turn, so that a drift of the clocks shows as spread


def variants(check: Check) -> list[Part]:
    """Modules built with one change each, timed in turn on the same card."""
    names = ["as built"]
    if check.prebuilt:
        names += sorted(p.name for p in (check.prebuilt / "variants").glob("*") if p.is_dir())
    if len(names) == 1 and not check.rehearse:
        return [Part("variants", None, 0, remark="there is no bundle with variants (--prebuilt)")]
    parts = []
    for number in range(1 if check.rehearse else ROUNDS):
        for name in names:
            tree = variant_tree(check, name)
            words = ["-m", "tools.gpu_variant", name, "--out", str(check.out), *rehearsed(check)]
            label = f"{name} {number + 1}"
            # `-m` puts the folder that it runs in before PYTHONPATH.
            parts.append(python(label, *words, limit=60, cwd=tree, backward=True))
    return parts


def variant_tree(check: Check, name: str) -> Path:
    """A folder whose fnet_kernels is that of the tree, with the variant's CUDA module."""
    if name == "as built":
        return TREE
    assert check.prebuilt is not None
    tree = TREE.parent / "variants" / name
    if not tree.exists():
        shutil.copytree(TREE / "fnet_kernels", tree / "fnet_kernels")
    copy_modules(check.prebuilt / "variants" / name, tree / "fnet_kernels" / "lib")
    return tree


#: Each tensor an allocation of its own: an access outside of it is then seen.
UNCACHED = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
FOUND = 9  # the exit status that says that a tool found something


def sanitize(check: Check) -> list[Part]:
    """compute-sanitizer's tools, one after another, over our kernels at small shapes."""
    if check.rehearse:
        return [python("memcheck", *WORKLOAD, "--rehearse", limit=120, variables=UNCACHED)]
    tool = find_tool("compute-sanitizer")
    if tool is None:
        return [Part("tools", None, 0, remark="there is no compute-sanitizer on PATH or by nvcc")]

    def part(name: str, options: list[str], script: list[str], status: int = 0) -> Part:
        words = [tool, "--tool", name.split()[0], "--error-exitcode", str(FOUND)]
        words += ["--launch-timeout", "60", "--kernel-name", "kns=fnet", *options]
        words += [sys.executable, *WORKLOAD, *script]
        return Part(name, words, 120, UNCACHED, backward=True, status=status)

    return [
        part("memcheck", ["--report-api-errors", "no"], []),
        part("racecheck", ["--racecheck-detect-level", "error"], []),
        # A filter that matches no kernel would find nothing: an unwritten x has to be found.
        part("initcheck control", [], ["--control"], status=FOUND),
        # What kernels that are not watched have written counts as unwritten: cuFFT is left out.
        part("initcheck", [], ["--own"]),
        part("synccheck", [], []),
    ]


STEPS = [
    Step("build", 300, build),
    Step("smoke", 180, smoke),
    Step("test", 360, tests),
    Step("bench", 600, bench),
    Step("models", 400, models),
    Step("profile", 240, profile),
    Step("variants", 360, variants),
    Step("sanitize", 480, sanitize),
]
