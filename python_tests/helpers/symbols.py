"""Undefined symbols of a shared library and declarations of headers, for the ABI tests."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from pathlib import Path

COMPILER = os.environ.get("CXX", "c++").split()
_DYNSYM, _VERSYM, _WEAK = 11, 0x6FFFFFFF, 2


def foreign_symbols(library: Path) -> set[str]:
    """Undefined symbols of a 64-bit ELF library that carry no version.

    The C and C++ runtimes give all their symbols versions, so the others belong to torch. Weak
    symbols are not counted because they may stay undefined.
    """
    image = library.read_bytes()
    assert image[:6] == b"\x7fELF\x02\x01", "64-bit little-endian ELF"
    (start,) = struct.unpack_from("<Q", image, 0x28)
    size, count = struct.unpack_from("<HH", image, 0x3A)
    # Of each section header: name, type, flags, address, offset, size, link.
    sections = [struct.unpack_from("<IIQQQQI", image, start + i * size) for i in range(count)]
    symbols = next(s for s in sections if s[1] == _DYNSYM)
    versions = next(s for s in sections if s[1] == _VERSYM)
    names = sections[symbols[6]][4]

    found = set()
    for i in range(symbols[5] // 24):
        name, info, _, section = struct.unpack_from("<IBBH", image, symbols[4] + 24 * i)
        (version,) = struct.unpack_from("<H", image, versions[4] + 2 * i)
        if name and section == 0 and version <= 1 and info >> 4 != _WEAK:
            end = image.index(b"\0", names + name)
            found.add(image[names + name : end].decode())
    return found


def declared(header: str, *flags: str) -> set[str]:
    """Every identifier in a header, preprocessed with these flags."""
    command = [*COMPILER, "-E", "-P", "-std=c++20", *flags, "-x", "c++", "-"]
    text = subprocess.run(
        command, input=f"#include <{header}>\n", text=True, capture_output=True, check=True
    ).stdout
    return set(re.findall(r"\b[A-Za-z_]\w*", text))


def library_with_undefined(folder: Path, *symbols: str) -> Path:
    """A shared library with these undefined symbols, and `puts` of the C runtime."""
    lines = [f"void {name}(); void use_{name}() {{ {name}(); }}" for name in ("puts", *symbols)]
    library = folder / "undefined.so"
    command = [*COMPILER, "-shared", "-fPIC", "-o", str(library), "-x", "c++", "-"]
    source = 'extern "C" {' + "\n".join(lines) + "}"
    subprocess.run(command, input=source, text=True, check=True)
    return library


def library_with_defined(folder: Path, *symbols: str) -> Path:
    """A shared library that defines functions with these names."""
    library = folder / "defined.so"
    command = [*COMPILER, "-shared", "-fPIC", "-o", str(library), "-x", "c++", "-"]
    source = 'extern "C" {' + "\n".join(f"void {name}() {{}}" for name in symbols) + "}"
    subprocess.run(command, input=source, text=True, check=True)
    return library
