"""The steps of the GPU check: their commands, order and time limits.

defines: STEPS, TREE, prepare
"""

from __future__ import annotations

import importlib.util
import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.gpu_bundle import fingerprint, mirror
from tools.gpu_step import SECONDS, Check, Part, Step

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
    """A part that runs this Python with the arguments `words`."""
    return Part(name, [sys.executable, *words], limit, **more)  # type: ignore[arg-type]


def rehearsed(check: Check) -> list[str]:
    return ["--rehearse"] if check.rehearse else []


def update_tree() -> None:
    """Make TREE a copy of the sources."""

    def sources(root: Path) -> set[Path]:
        found = set()
        for folder, names, files in os.walk(root):
            names[:] = [n for n in names if n not in NOT_SOURCES and not n.endswith(".egg-info")]
            names[:] = [n for n in names if not n.startswith("gpu-bundle")]
            found |= {Path(folder, file).relative_to(root) for file in files}
        return {path for path in found if path.suffix != ".so"}

    TREE.mkdir(parents=True, exist_ok=True)
    # Older setuptools cannot read our pyproject.toml, and setup.py does not need it.
    wanted = sources(ROOT) - {Path("pyproject.toml")}
    mirror(ROOT, TREE, wanted, sources(TREE) - {Path("pytest.ini")})
    # Without this file pytest would use ROOT's pyproject.toml, and import ROOT's modules.
    (TREE / "pytest.ini").write_text("[pytest]\n")


def prepare(check: Check) -> str:
    """Copy the tree and find the device. Returns the reason if nothing can run, or ""."""
    update_tree()
    words = [sys.executable, "-c", PROBE]
    try:
        probe = subprocess.run(words, capture_output=True, text=True, cwd=TREE, timeout=120)
    except subprocess.TimeoutExpired:
        return "importing torch takes more than 120 s"
    if probe.returncode:
        return f"{sys.executable} cannot import torch: {probe.stderr.strip().splitlines()[-1]}"
    check.machine = json.loads(probe.stdout.splitlines()[-1])
    print(f"   {check.machine}", flush=True)
    if not check.rehearse and "capability" not in check.machine:
        return "torch finds no CUDA device"
    check.environment["TORCH_CUDA_ARCH_LIST"] = check.machine.get("capability", "")
    return ""


def build(check: Check) -> list[Part]:
    """The extensions: prebuilt, or built for the device of this machine."""
    package = TREE / "fnet_kernels" / "lib"
    refused = refusal(check.prebuilt, check.machine) if check.prebuilt else ""
    if check.rehearse:  # use the built modules; setup.py must start without pyproject.toml
        copy_modules(ROOT / "fnet_kernels" / "lib", package)
        wrong = [Part("bundle", None, 0, remark=refused)] if refused else []
        return [*wrong, python("setup.py starts", "setup.py", "build_ext", "--help", limit=120)]
    if check.prebuilt and not refused:
        copy_modules(check.prebuilt, package)
        return [python("prebuilt modules load", "-c", LOADS, limit=60)]
    if refused:
        print(f"   {refused}: building here, without variants", flush=True)
        check.prebuilt = None
    return [python("setup.py", "setup.py", "build_ext", "--inplace", limit=300)]


def refusal(folder: Path, machine: Mapping[str, str]) -> str:
    """Why the bundle in `folder` is not that of these sources and this machine, or ""."""
    try:
        bundle = json.loads((folder / "bundle.json").read_text())
    except (OSError, ValueError) as error:
        return f"the bundle cannot be read ({error})"
    if bundle["sources"] != fingerprint(ROOT):
        return "the bundle has other sources"
    capability = machine.get("capability", bundle["arch"])
    if capability != bundle["arch"]:
        return f"the bundle is for {bundle['arch']}, the device has {capability}"
    return ""


def copy_modules(source: Path, package: Path) -> None:
    """Copy the modules of `source` to `package`, decompressing those with suffix .xz."""
    package.mkdir(exist_ok=True)
    for module in source.glob("libfnet*.so"):
        shutil.copy2(module, package)
    for module in source.glob("libfnet*.so.xz"):
        (package / module.stem).write_bytes(lzma.decompress(module.read_bytes()))


def smoke(check: Check) -> list[Part]:
    """Check that each kernel runs and is correct, then time it beside a copy."""
    parts = []
    for name in ("forward", "training", "backward", "general"):
        words = ["-m", "tools.gpu_smoke", name, *rehearsed(check)]
        # The script ends after 20 s of work; the rest is for imports.
        parts.append(python(name, *words, limit=60, backward=name == "backward"))
    return [*parts, bench_part(check, "first times", 60)]


TEST_LIMIT = 90  # seconds of one test
TEST_FILES = ("accuracy", "inputs", "torch", "streams", "varlen")


def tests(check: Check) -> list[Part]:
    """Run python_tests/gpu; skipping them is an error. A rehearsal does so in one process.

    If the backward pass made its smoke test crash, only what runs forward alone is tested.
    """
    options = ["-rfE", "--tb=short", "--durations=5", "-p", "no:cacheprovider", "-q"]
    # A test that waits for the device cannot be interrupted. faulthandler prints its traceback, and
    # pytest 9 ends the process. An older pytest runs until the limit of the part.
    options += ["-o", f"faulthandler_timeout={TEST_LIMIT}"]
    options += ["-o", "faulthandler_exit_on_timeout=true"]
    command = ["-m", "pytest", *options]
    files = {name: f"python_tests/gpu/test_gpu_{name}.py" for name in TEST_FILES}
    only = (files["accuracy"], "-k", "not gradient")
    forward = python("forward", *command, *only, limit=120, variables={"FNET_GPU_FORWARD": "1"})
    if check.rehearse:
        return [forward, python("all files", *command, *files.values(), limit=350)]
    parts = [python(n, *command, f, limit=180, backward=True) for n, f in files.items()]
    return [forward, *parts] if check.backward_is_off else parts


#: The parts of bench.gpu in order, with their time limits in seconds.
BENCH_PARTS = {
    "forward bf16": 150,
    "forward bf16 long": 90,
    "step bf16": 120,
    "step bf16 long": 120,
    "kernels": 40,
    "step fp32": 150,
    "forward fp32": 90,
    "layer bf16": 60,
    "memory": 40,
}
#: Those of lengths beside the targets'.
SHAPE_PARTS = {"general path": 40, "forward, other shapes": 150, "step, other shapes": 200}


def bench_part(check: Check, name: str, limit: float, backward: bool = False) -> Part:
    """One part of bench.gpu, which adds its figures to the JSON file."""
    words = ["-m", "bench.gpu", "--part", name, "--out", str(check.out), *rehearsed(check)]
    return python(name, *words, "--seconds", SECONDS, limit=limit, least=25, backward=backward)


def timed(check: Check, limits: Mapping[str, float]) -> list[Part]:
    backward = ("step", "kernels", "memory")
    return [
        bench_part(check, name, limit, name.startswith(backward)) for name, limit in limits.items()
    ]


def bench(check: Check) -> list[Part]:
    """Time ours and all alternatives, and check the targets.

    A rehearsal does so in one process, and includes `shapes`.
    """
    if check.rehearse:
        words = ["--part", *BENCH_PARTS, *SHAPE_PARTS, "--out", str(check.out), "--rehearse"]
        return [python("all parts", "-m", "bench.gpu", *words, limit=240)]
    return timed(check, BENCH_PARTS)


def shapes(check: Check) -> list[Part]:
    """The same for other shapes, and for a length without kernels."""
    return [] if check.rehearse else timed(check, SHAPE_PARTS)


MODEL_PARTS = ("inference eager", "training eager", "inference compiled", "training compiled")


def models(check: Check) -> list[Part]:
    """Time FNet-Base (stock and patched) and BERT-Base; a rehearsal does so in one process."""
    if importlib.util.find_spec("transformers") is None:
        return [Part("models", None, 0, remark="there is no transformers here")]
    command = ["-m", "bench.gpu.models", "--out", str(check.out)]
    if check.rehearse:
        return [python("all parts", *command, "--rehearse", *MODEL_PARTS, limit=390)]
    parts = []
    for name in MODEL_PARTS:
        limit, least = (180, 60) if "compiled" in name else (80, 30)
        words = [*command, name, "--seconds", SECONDS]
        backward = name.startswith("training")
        parts.append(python(name, *words, limit=limit, least=least, backward=backward))
    return parts


def find_tool(name: str) -> str | None:
    """Find a tool of the CUDA toolkit: on PATH, in CUDA_HOME, beside nvcc or in /usr/local."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    nvcc = shutil.which("nvcc")
    homes += [str(Path(nvcc).resolve().parent.parent)] if nvcc else []
    folders = [str(Path(home, part)) for home in homes if home for part in ("bin", name)]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))


WORKLOAD = ("-m", "tools.gpu_workload")


def profile(check: Check) -> list[Part]:
    """Read the hardware counters of all kernels in a forward and a backward pass with ncu."""
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
        parts.append(Part(shape, command, 120, backward=True, creates=written, least=40))
        if ncu is not None and not check.rehearse:  # also as text, in the logs
            raw = [ncu, "--import", str(file), "--page", "raw", "--csv"]
            parts.append(Part(f"{shape} as text", raw, 30, backward=True))
    return parts


ROUNDS = 3  # over all variants, so that clock drift shows as spread


def variants(check: Check) -> list[Part]:
    """Time modules with one change each, in turn on the same GPU."""
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
            # `python -m` imports from the working directory before PYTHONPATH.
            parts.append(python(label, *words, limit=60, cwd=tree, backward=True))
    return parts


def variant_tree(check: Check, name: str) -> Path:
    """A folder with a copy of fnet_kernels and the CUDA module of the variant."""
    if name == "as built":
        return TREE
    assert check.prebuilt is not None
    tree = TREE.parent / "variants" / name
    if not tree.exists():
        shutil.copytree(TREE / "fnet_kernels", tree / "fnet_kernels")
    copy_modules(check.prebuilt / "variants" / name, tree / "fnet_kernels" / "lib")
    return tree


#: One allocation per tensor, so that the tools detect accesses outside of it.
UNCACHED = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
FOUND = 9  # the exit status if a tool finds an error


def sanitize(check: Check) -> list[Part]:
    """Run the tools of compute-sanitizer over our kernels at small shapes."""
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
        # The control must find an uninitialised x; otherwise the filter matches no kernel.
        part("initcheck control", [], ["--control"], status=FOUND),
        # Data written by kernels outside the filter counts as uninitialised, so leave cuFFT out.
        part("initcheck", [], ["--own"]),
        part("synccheck", [], []),
    ]


STEPS = [
    Step("build", 300, build),
    Step("smoke", 180, smoke),
    Step("test", 360, tests),
    Step("bench", 600, bench),
    Step("models", 480, models),
    Step("profile", 240, profile),
    Step("variants", 360, variants),
    Step("shapes", 400, shapes),
    Step("sanitize", 480, sanitize),
]
