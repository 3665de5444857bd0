"""`make gpu-bundle`: build the modules for a GPU run beforehand, and variants for A/B tests.

Run it with a Python whose torch matches the GPU machine's (2.11 or newer: the ABI is stable). It
builds for --arch in build/gpu-bundle/tree and writes

    gpu-bundle/libfnet_kernels*.so.xz                          the modules
    gpu-bundle/variants/<name>/libfnet_kernels_cuda.so.xz      a module with one change
    gpu-bundle/bundle.json                             versions, architectures, sizes

A module takes 12 MB, compressed 1.2 MB. `python -m tools.gpu_check --prebuilt gpu-bundle` uses them
instead of building. A variant replaces a text that occurs once in the source, so the kernels need
no switches.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import json
import lzma
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "gpu-bundle"
TREE = ROOT / "build" / "gpu-bundle" / "tree"
CUDA = "libfnet_kernels_cuda.so"
MAX_BYTES = 40 << 20  # of the bundle


@dataclass(frozen=True)
class Variant:
    """Replaces `old` by `new` in a file below csrc, which the CUDA objects `objects` include."""

    file: str
    old: str
    new: str
    objects: tuple[str, ...] = ()  # stems of .cu files; ninja finds the affected C++ files


_COUNT = "  int64_t count = (args.batch + slice - 1) / slice;\n"
_SEQ = ("seq_fft_bf16", "seq_fft_f16", "seq_fft_f32")
VARIANTS = {
    "one-slice": Variant("cuda/plan.cpp", _COUNT, "  return {args.batch, 1};\n" + _COUNT),
    "four-slices": Variant(
        "cuda/plan.cpp",
        _COUNT,
        "  return {args.batch, std::min<int64_t>(args.batch, 4)};\n" + _COUNT,
    ),
    "narrow-tiles": Variant(
        "cuda/lengths.h", "{{256, 16, {16, 16}}, {32, 2}", "{{256, 16, {16, 16}}, {8, 8}", _SEQ
    ),
    "no-overlap": Variant(
        "cuda/plan.cpp", "  plan.overlaps = device.overlaps;\n", "  plan.overlaps = false;\n"
    ),
}


def edited(variant: Variant, source: str) -> str:
    """Apply the change of the variant to `source`.

    Raises:
        ValueError: the text to replace does not occur exactly once.
    """
    if source.count(variant.old) != 1:
        raise ValueError(
            f"{variant.file}: {variant.old!r} occurs {source.count(variant.old)} times"
        )
    return source.replace(variant.old, variant.new)


SOURCES = ("csrc", "build_backend", "setup.py")


def fingerprint(root: Path) -> str:
    """A hash of the sources of the modules."""
    found = hashlib.sha256()
    for name in SOURCES:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def mirror(source: Path, target: Path, wanted: set[Path], present: set[Path]) -> None:
    """Give `target`, which has the files `present`, the files `wanted` of `source`.

    Unchanged files keep their times, so that a build skips them. Others get the time of now, which
    is later than that of any object: also a file that a variant has changed in `target`.
    """
    for path in present - wanted:
        (target / path).unlink()
    for path in wanted:
        copy = target / path
        if not (copy.exists() and filecmp.cmp(source / path, copy, shallow=False)):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, copy)


def files_below(root: Path) -> set[Path]:
    """The files that a build reads, relative to `root`."""
    found = {Path("setup.py")} & {path.relative_to(root) for path in root.glob("*.py")}
    for name in ("csrc", "build_backend", "fnet_kernels"):
        paths = (path for path in (root / name).rglob("*") if path.is_file())
        found |= {p.relative_to(root) for p in paths if p.suffix not in (".so", ".pyc")}
    return found


def build(arch: str) -> None:
    """Run setup.py in TREE for one architecture."""
    environment = {**os.environ, "FNET_CUDA": "1", "TORCH_CUDA_ARCH_LIST": arch}
    environment["PYTHONPATH"] = str(TREE)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=TREE, env=environment, check=True)


def compile_only(objects: tuple[str, ...]) -> None:
    """Make the next build compile only these CUDA objects, because nvcc is slow."""
    for path in (TREE / "build" / "objects" / "cuda").glob("*.o"):
        if path.stem in objects:
            path.unlink()
        else:  # later than the edit, whatever the resolution of the file system's times
            later = time.time() + 2
            os.utime(path, (later, later))


def pack(name: str, folder: Path) -> None:
    """Compress a module of TREE into `folder`."""
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
        print(
            f"torch {torch.__version__} is built without CUDA: use the version of the GPU machine"
        )
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    mirror(ROOT, TREE, files_below(ROOT), files_below(TREE))
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
    if size > MAX_BYTES:
        print(f"over {MAX_BYTES >> 20} MB: leave variants out with --variants")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
