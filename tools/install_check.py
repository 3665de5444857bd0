"""`make install-check`: install the sources with each installer, then run the doctor.

Every check works on a copy of the sources in its own folder. Installers get torch and its
dependencies from an index on this machine, which `pip download` fills once; the tools themselves
come from PyPI. A compiler cache makes all builds but the first quick.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "install-check"
#: Requirements by command. pdm comes with the dependencies that it was released with.
TOOLS = {"build": "build", "uv": "uv", "poetry": "poetry", "pdm": "pdm[locked]"}
PIPS = ("23.0", "24.0", "25.0", "26.0")
#: What an environment needs to build and run; `python -m build` and uv fetch the first two.
WHEELS = ("setuptools<82", "ninja", "numpy")


def tool(name: str, program: str | None = None) -> Path:
    """A program of a tool's environment, by default the tool itself."""
    return FOLDER / "tools" / name / "bin" / (program or name)


class Failed(Exception):
    """A check failed; the message is the end of the command's output."""


@dataclass(frozen=True)
class Place:
    """The folder of one check, with a copy of the sources and the environment to install into."""

    folder: Path
    index: str

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def python(self) -> Path:
        return self.folder / "env" / "bin" / "python"

    def run(self, *command: str | Path, cwd: Path | None = None, **variables: str) -> str:
        """Run a command in the folder. Raises Failed if its status is not 0."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
        environment |= {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": self.index,
            "UV_DEFAULT_INDEX": self.index,
            "UV_CACHE_DIR": str(self.folder / "uv"),
            "FNET_CUDA": "0",
            "CCACHE_BASEDIR": str(self.folder),
            "CCACHE_NOHASHDIR": "1",
            "VIRTUAL_ENV": str(self.folder / "env"),
        }
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd or self.folder,
            env=environment | variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            raise Failed(f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}")
        return done.stdout

    def make_env(self, *, torch: bool = True) -> None:
        """An environment, with the torch of the shared one through a .pth file."""
        self.run(sys.executable, "-m", "venv", "env")
        if torch:
            site = next(self.folder.glob("env/lib/python*/site-packages"))
            shared = next((FOLDER / "torch").glob("lib/python*/site-packages"))
            (site / "torch.pth").write_text(f"{shared}\n")

    def doctor(
        self, python: str | Path | None = None, cwd: Path | None = None, **variables: str
    ) -> None:
        """Raises Failed if the installed package is broken."""
        self.run(python or self.python, "-m", "fnet_kernels", "doctor", cwd=cwd, **variables)


def check_pip(version: str, place: Place) -> None:
    place.make_env()
    place.run(place.python, "-m", "pip", "install", "-q", f"pip=={version}", PIP_INDEX_URL=PYPI)
    place.run(place.python, "-m", "pip", "install", ".", cwd=place.source)
    place.doctor()
    place.doctor(cwd=place.source)  # the clone hides the installed package


def check_pip_editable(place: Place) -> None:
    place.make_env()
    place.run(place.python, "-m", "pip", "install", "-e", ".", cwd=place.source)
    place.doctor()


def check_pip_without_torch(place: Place) -> None:
    """pip fetches a torch for the build and installs one."""
    place.make_env(torch=False)
    place.run(place.python, "-m", "pip", "install", ".", cwd=place.source)
    place.doctor()


def check_pip_target(place: Place) -> None:
    place.make_env()
    pip = (place.python, "-m", "pip", "install", "--no-deps")
    place.run(*pip, "--target", place.folder / "target", ".", cwd=place.source)
    place.doctor(PYTHONPATH=str(place.folder / "target"))


def check_pip_prefix(place: Place) -> None:
    place.make_env()
    prefix = place.folder / "prefix"
    place.run(place.python, "-m", "pip", "install", "--prefix", prefix, ".", cwd=place.source)
    place.doctor(PYTHONPATH=str(next(prefix.glob("lib/python*/site-packages"))))


def check_build(place: Place) -> None:
    """`python -m build`: the sdist without torch, and the wheel from it."""
    place.make_env()
    place.run(tool("build", "python"), "-m", "build", ".", cwd=place.source)
    (wheel,) = (place.source / "dist").glob("*.whl")
    place.run(place.python, "-m", "pip", "install", wheel)
    place.doctor()


def check_uv_lock(place: Place) -> None:
    """From the metadata alone; the extras come from PyPI."""
    out = place.run(tool("uv"), "lock", cwd=place.source, UV_DEFAULT_INDEX=PYPI)
    if "Build" in out:
        raise Failed(f"uv lock builds:\n{out}")


def check_uv_pip(place: Place) -> None:
    place.run(tool("uv"), "venv", "--python", sys.executable, "env")
    place.run(tool("uv"), "pip", "install", "torch", *WHEELS)
    place.run(tool("uv"), "pip", "install", "--no-build-isolation", ".", cwd=place.source)
    place.doctor()


def check_uv_pip_isolated(place: Place) -> None:
    """uv fetches a torch for the build."""
    place.run(tool("uv"), "venv", "--python", sys.executable, "env")
    place.run(tool("uv"), "pip", "install", place.source, cwd=place.folder)
    place.doctor()


def check_uv_sync(place: Place) -> None:
    """A project that depends on the sources; a change of C++ alone builds again."""
    project = write_project(
        place,
        "[tool.uv]\nno-build-isolation-package = ['fnet_kernels']\n"
        "[tool.uv.sources]\nfnet_kernels = { path = '../source' }\n",
    )
    sync = partial(place.run, tool("uv"), "sync", "--python", sys.executable, cwd=project)
    sync()
    library = next(project.glob(".venv/lib/python*/site-packages/fnet_kernels/lib/*.so"))
    place.doctor(project / ".venv" / "bin" / "python")
    before = library.stat().st_mtime_ns
    sync()
    if library.stat().st_mtime_ns != before:
        raise Failed("uv sync builds although nothing changed")
    with (place.source / "csrc" / "torch" / "schemas.cpp").open("a") as file:
        file.write("// changed\n")
    sync()
    if library.stat().st_mtime_ns == before:
        raise Failed("uv sync keeps the old build after a change of C++")


def check_poetry(place: Place) -> None:
    project = write_project(
        place,
        "[tool.poetry]\npackage-mode = false\n"
        f"[[tool.poetry.source]]\nname = 'local'\nurl = '{place.index}'\npriority = 'primary'\n",
    )
    environment = {
        "POETRY_VIRTUALENVS_IN_PROJECT": "true",
        "POETRY_CACHE_DIR": str(place.folder / "cache"),
    }
    place.run(tool("poetry"), "install", "-n", cwd=project, VIRTUAL_ENV="", **environment)
    place.doctor(project / ".venv" / "bin" / "python")


def check_pdm(place: Place) -> None:
    project = write_project(
        place,
        "[tool.pdm]\ndistribution = false\n"
        f"[[tool.pdm.source]]\nname = 'pypi'\nurl = '{place.index}'\n",
    )
    environment = {"PDM_CACHE_DIR": str(place.folder / "cache"), "PDM_CHECK_UPDATE": "0"}
    # pdm would install into the environment of an interpreter that has one.
    base = Path(sys.base_prefix) / "bin" / "python3"
    place.run(tool("pdm"), "use", "-f", base, cwd=project, VIRTUAL_ENV="", **environment)
    place.run(tool("pdm"), "install", cwd=project, VIRTUAL_ENV="", **environment)
    place.doctor(project / ".venv" / "bin" / "python")


PYPI = "https://pypi.org/simple"
CHECKS: dict[str, Callable[[Place], None]] = {
    **{f"pip {version}": partial(check_pip, version) for version in PIPS},
    "pip, path with spaces": partial(check_pip, PIPS[-1]),
    "pip --editable": check_pip_editable,
    "pip --target": check_pip_target,
    "pip --prefix": check_pip_prefix,
    "pip without torch": check_pip_without_torch,
    "python -m build": check_build,
    "uv lock": check_uv_lock,
    "uv pip install": check_uv_pip,
    "uv pip install, isolated": check_uv_pip_isolated,
    "uv sync": check_uv_sync,
    "poetry": check_poetry,
    "pdm": check_pdm,
}


def write_project(place: Place, text: str) -> Path:
    """A project that depends on the sources, with these lines in its pyproject.toml."""
    project = place.folder / "project"
    project.mkdir()
    version = "{}.{}".format(*sys.version_info)
    requirement = "fnet_kernels"
    if "tool.uv" not in text:
        requirement += f" @ file://{place.source}"
    (project / "pyproject.toml").write_text(
        "[project]\nname = 'consumer'\nversion = '0'\n"
        f"requires-python = '=={version}.*'\ndependencies = ['{requirement}', 'numpy']\n{text}"
    )
    return project


def copy_sources(folder: Path) -> None:
    """Copy the files that git knows or would add."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class Index(SimpleHTTPRequestHandler):
    """Serves folders of files; installers read the directory listings as an index."""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


class Server(ThreadingHTTPServer):
    """Ignores installers that close a connection early."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The URL of an index with the files in `folder`, one folder for each project."""
    server = Server(("127.0.0.1", 0), partial(Index, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()


def fill_index(torch: str, folder: Path) -> None:
    """Download torch and its dependencies."""
    files = folder / "files"
    pip = [sys.executable, "-m", "pip", "download", "-qq", "-d", str(files), f"torch=={torch}"]
    subprocess.run([*pip, *WHEELS], check=True)
    for file in files.iterdir():
        name = re.sub(r"[-_.]+", "-", file.name.split("-")[0]).lower()
        (folder / "simple" / name).mkdir(parents=True, exist_ok=True)
        file.rename(folder / "simple" / name / file.name)


def prepare(torch: str) -> Path:
    """The tools, the index and an environment with torch, once. Returns the index's folder."""
    index = FOLDER / f"index-{torch}"
    for name, requirement in TOOLS.items():  # apart, since their dependencies differ
        if not tool(name, "python").exists():
            subprocess.run([sys.executable, "-m", "venv", FOLDER / "tools" / name], check=True)
            pip = [str(tool(name, "python")), "-m", "pip", "install", "-qq"]
            subprocess.run([*pip, requirement], check=True)
    if not (index / "simple").exists():
        fill_index(torch, index)
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER / "torch"], check=True)
        python = FOLDER / "torch" / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "-qq", "--no-index"]
        links = [word for folder in (index / "simple").iterdir() for word in ("-f", str(folder))]
        subprocess.run([*pip, *links, "torch", *WHEELS], check=True)
    return index / "simple"


def main() -> int:
    """Run the checks and print a line for each. Returns 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checks", nargs="*", default=list(CHECKS), help="names (default: all)")
    parser.add_argument("--torch", default="2.13.0", help="version (default: %(default)s)")
    args = parser.parse_args()
    unknown = set(args.checks) - CHECKS.keys()
    if unknown:
        parser.error(f"checks: expected some of {', '.join(CHECKS)}; got {', '.join(unknown)}")
    failed = 0
    with serve(prepare(args.torch)) as index:
        for name in args.checks:
            words = name if "spaces" in name else re.sub(r"\W+", "-", name)
            place = Place(FOLDER / "checks" / words, index)
            shutil.rmtree(place.folder, ignore_errors=True)
            copy_sources(place.source)
            started = time.monotonic()
            try:
                CHECKS[name](place)
                verdict, detail = "ok", ""
            except Failed as error:
                verdict, detail = "FAILED", f"\n{error}"
                failed += 1
            print(f"{name}: {verdict}, {time.monotonic() - started:.0f} s{detail}", flush=True)
            if verdict == "ok":
                shutil.rmtree(place.folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
