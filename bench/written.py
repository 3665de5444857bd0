"""Result files, which are complete or as they were before: a full disk or a kill costs nothing.

defines: read_json, write, write_json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """The result in `path`, an object with these keys.

    Raises:
        ValueError: it is something else, or cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"{path} has no {missing[0]!r}: expected a result of this program")
    return dict(content)


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
