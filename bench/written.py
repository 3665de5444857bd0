"""Result files, which are complete or as they were before: a full disk or a kill costs nothing.

defines: write, write_json
"""

from __future__ import annotations

import json
from pathlib import Path


def write_json(path: Path, content: object, indent: int | None = 1) -> None:
    """Write `content` as JSON, see `write`."""
    write(path, json.dumps(content, indent=indent) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file that takes the place of `path` when it is complete. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", newline="") as file:
            file.write(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
