"""`make gpu-bundle`: the modules for a GPU run, built beforehand, and variants of them for A/B.

Run with a Python whose torch is the GPU machine's (2.11 or newer: the ABI is stable). Builds for
--arch in build/gpu-bundle/tree and writes

    gpu-bundle/libfnet_kernels*.so.xz                            as built
    gpu-bundle/variants/<name>/libfnet_kernels_cuda.so.xz        with one change
    gpu-bundle/bundle.json                             versions, architectures, sizes

(a module is 12 MB, compressed 1.2), which `python -m tools.gpu_check --prebuilt gpu-bundle` takes
in place of a build. A variant is an edit of the source, given here as text that stands in it once,
so that the kernels carry no switches.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "gpu-bundle"
TREE = ROOT / "build" / "gpu-bundle" / "tree"
CUDA = "libfnet_kernels_cuda.so"
MOST = 40 << 20  # bytes of the bundle


@dataclass(frozen=True)
class Variant:
    """What is changed: `old` in a file below csrc becomes `new`; `objects` are compiled from it."""

    file: str
    old: str
    new: str
    objects: tuple[str, ...] = ()  # stems of .cu files; the C++ files find out by themselves


_COUNT = "  int64_t count = (args.batch + slice - 1) / slice;\n"
_RSQRT = "  return S(1) / sqrt(squares / count + eps);\n"
VARIANTS = {
    "two-loads-of-dx": Variant(
        "cuda/seq_grad.h",
        "K::loads_in_flight(K::kTile.grad_blocks, sizeof(T) == 4 ? 1 : 0)",
        "K::loads_in_flight(K::kTile.grad_blocks, 2)",
        ("seq_grad_bf16", "seq_grad_f16", "seq_grad_f32"),
    ),
    "one-slice": Variant("cuda/plan.cpp", _COUNT, "  return {args.batch, 1};\n" + _COUNT),
    "four-slices": Variant(
        "cuda/plan.cpp",
        _COUNT,
        "  return {args.batch, std::min<int64_t>(args.batch, 4)};\n" + _COUNT,
    ),
    "rsqrt": Variant(
        "core/layer_norm.h",
        _RSQRT,
        "#ifdef __CUDA_ARCH__\n  return rsqrtf(squares / count + eps);\n#else\n"
        + _RSQRT
        + "#endif\n",
        ("row_fft_bf16", "row_fft_f16", "row_fft_f32", "general_path"),
    ),
}


def edited(variant: Variant, source: str) -> str:
    """The source with the variant's change.

    Raises:
        ValueError: the text to be changed does not stand in it exactly once.
    """
    if source.count(variant.old) != 1:
        raise ValueError(
            f"{variant.file}: {variant.old!r} stands {source.count(variant.old)} times"
        )
    return source.replace(variant.old, variant.new)


SOURCES = ("csrc", "build_backend", "setup.py")


def fingerprint(root: Path) -> str:
    """A hash of what the modules are built from."""
    found = hashlib.sha256()
    for name in SOURCES:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def build(arch: str) -> None:
    """setup.py in TREE, for one architecture."""
    environment = {**os.environ, "FNET_CUDA": "1", "TORCH_CUDA_ARCH_LIST": arch}
    environment["PYTHONPATH"] = str(TREE)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=TREE, env=environment, check=True)


def compile_only(objects: tuple[str, ...]) -> None:
    """Let the next build take every CUDA object as it is but these: nvcc takes long."""
    for path in (TREE / "build" / "objects" / "cuda").glob("*.o"):
        if path.stem in objects:
            path.unlink()
        else:
            os.utime(path)


def pack(name: str, folder: Path) -> None:
    """A module of TREE, compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    module = (TREE / "fnet_kernels" / "lib" / name).read_bytes()
    (folder / f"{name}.xz").write_bytes(lzma.compress(module))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="9.0", help="compute capability (default: 9.0)")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args()
    import torch

    if torch.version.cuda is None:
        print(f"torch {torch.__version__} is built without CUDA: take the GPU machine's")
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name in ("csrc", "build_backend", "fnet_kernels"):
        shutil.rmtree(TREE / name, ignore_errors=True)  # what was moved must not be built twice
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / name, TREE / name, ignore=ignored)
    shutil.copy2(ROOT / "setup.py", TREE)
    build(args.arch)
    for module in ("libfnet_kernels.so", CUDA):
        pack(module, FOLDER)
    for name in args.variants:
        variant = VARIANTS[name]
        path = TREE / "csrc" / variant.file
        path.write_text(edited(variant, (ROOT / "csrc" / variant.file).read_text()))
        compile_only(variant.objects)
        build(args.arch)
        pack(CUDA, FOLDER / "variants" / name)
        path.write_text((ROOT / "csrc" / variant.file).read_text())
        compile_only(variant.objects)
    size = sum(path.stat().st_size for path in FOLDER.rglob("*.xz"))
    content = {"torch": torch.__version__, "cuda": torch.version.cuda, "arch": args.arch}
    content |= {"sources": fingerprint(ROOT), "variants": args.variants, "bytes": size}
    (FOLDER / "bundle.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"{FOLDER}: {size / 2**20:.1f} MB, {len(args.variants)} variants")
    if size > MOST:
        print(f"over {MOST >> 20} MB: leave variants out with --variants")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
