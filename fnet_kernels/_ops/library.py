"""Finds the folder with the compiled libraries."""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

#: The operators' schemas and the CPU kernels; the CUDA kernels.
KERNELS, CUDA_KERNELS = "libfnet_kernels.so", "libfnet_kernels_cuda.so"
PACKAGE = Path(__file__).resolve().parents[1]
REBUILD = "run `pip install .` in the root of the fnet_kernels repository, with torch 2.11 or newer"


def library_folder() -> Path:
    """Return `lib/` of this package, or that of an installed package with the same Python files.

    A clone has no `lib/` after `pip install .`, yet Python imports the clone if it runs in the
    clone's folder. Equal Python files mean that the library belongs to this version.

    Raises:
        ImportError: no library is built, or only for a package with other Python files. The
            message names the fix after "; ".
    """
    own = PACKAGE / "lib"
    if (own / KERNELS).exists():
        return own
    installed = installed_packages()
    for package in installed:
        if python_files(package) == python_files(PACKAGE):
            return package / "lib"
    if installed:
        raise ImportError(
            f"the sources in {PACKAGE} hide the package installed in {installed[0]}, whose Python"
            " files differ, and have no compiled extension of their own; run Python in another"
            f" folder, or run `pip install -e .` in {PACKAGE.parent}"
        )
    raise ImportError(f"the extension of fnet_kernels is not built; {REBUILD}")


def installed_packages() -> list[Path]:
    """The installed packages with a compiled library, in the order of `sys.path`."""
    places = (Path(str(d.locate_file("fnet_kernels"))) for d in distributions(name="fnet_kernels"))
    return [place for place in places if (place / "lib" / KERNELS).exists()]


def python_files(package: Path) -> dict[Path, bytes]:
    """The Python files of a package and their contents."""
    return {path.relative_to(package): path.read_bytes() for path in package.rglob("*.py")}
