"""Small archives in the formats of the package registries."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

from examples.corpora.sources import Archive

Files = dict[str, bytes]


def wheel(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as package:
        for name, content in files.items():
            package.writestr(name, content)
    return path


def npm(path: Path, files: Files) -> Path:
    path.write_bytes(_tar(files, "gz"))
    return path


def debian(path: Path, files: Files) -> Path:
    """An ar archive of a version, an empty control archive and the data."""
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": b"odd",  # an odd size is padded
        "data.tar.xz": _tar({f"./{name}": content for name, content in files.items()}, "xz"),
    }
    packed = b"!<arch>\n"
    for name, content in parts.items():
        head = f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        packed += head.encode() + content + b"\n" * (len(content) % 2)
    path.write_bytes(packed)
    return path


def archive_of(file: Path, client: str = "pip", package: str = "tiny") -> Archive:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return Archive(client, package, "1.0", sha256, 0.1, "free")


def _tar(files: Files, compression: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{compression}") as package:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
