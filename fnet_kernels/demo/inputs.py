"""What the demo works on: lengths, real text, rows of token ids.

defines: LONGEST, Unusable, sequence_lengths, read_texts, found_text, token_rows
"""

from __future__ import annotations

import pydoc
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor

#: Byte b becomes token b + BYTE_OFFSET: ids below are FNet's padding, bos, eos and unknown.
BYTE_OFFSET = 4
BYTE_VOCABULARY = 256 + BYTE_OFFSET

LONGEST = 1 << 20  # tokens of a sequence
_ENOUGH = 200_000  # characters; a demo needs no more
_LEGAL = ("license", "licence", "copying", "notice")


class Unusable(Exception):
    """What the user gave cannot be used; the message is one line that says why."""


def sequence_lengths(text: str) -> list[int]:
    """Parse `512,2048` into distinct positive lengths, in the order given.

    Raises:
        Unusable: something else than integers from 1 to `LONGEST`.
    """
    lengths = []
    for word in text.split(","):
        try:
            length = int(word)
        except ValueError:
            length = 0
        if not 0 < length <= LONGEST:
            raise Unusable(
                f"--seq: expected integers from 1 to {LONGEST:,} such as 512,2048, got {text!r}"
            )
        lengths.append(length)
    return list(dict.fromkeys(lengths))


def read_texts(paths: Sequence[str]) -> tuple[str, str]:
    """The files' text, joined, as much as a demo needs, and a line that describes it.

    Raises:
        Unusable: a file cannot be read, or holds nothing but white space.
    """
    parts = []
    for path in paths:
        try:
            part = Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise Unusable(f"--text: cannot read {path}: {error.strerror}") from error
        if not part.strip():
            raise Unusable(f"--text: {path} holds no text")
        parts.append(part)
    text, source = "\n".join(parts), ", ".join(paths)
    if len(text) > _ENOUGH:
        return text[:_ENOUGH], f"the first {_ENOUGH:,} characters of {source}"
    return text, source


def found_text() -> tuple[str, str]:
    """Text that this Python installation carries: licences of its packages, its documentation."""
    texts = dict.fromkeys(_licences())  # packages share licences: each text once
    texts |= dict.fromkeys(_documentation())
    text = "\n".join(texts)[:_ENOUGH]
    return text, "licences and documentation of this Python installation"


def _licences() -> Iterable[str]:
    """Licence files of the installed packages, in order of package name, a limited amount."""
    budget = _ENOUGH // 2
    for package in sorted(metadata.distributions(), key=lambda d: str(d.metadata["Name"])):
        for file in package.files or ():
            if not file.name.lower().startswith(_LEGAL) or file.suffix not in ("", ".txt", ".md"):
                continue
            try:
                text = Path(str(file.locate())).read_text(encoding="utf-8", errors="ignore")
            except OSError:
                continue
            if text.strip():
                yield text
                budget -= len(text)
        if budget <= 0:
            return


def _documentation() -> Iterable[str]:
    """Language reference as `help()` shows it; docstrings if this Python lacks the reference."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        yield from (pydoc.plain(pydoc.render_doc(m)) for m in ("re", "argparse"))
    else:
        yield from (topics[name] for name in sorted(topics))


def byte_ids(text: str) -> list[int]:
    """Token ids of the text's UTF-8 bytes."""
    return [byte + BYTE_OFFSET for byte in text.encode()]


def token_rows(ids: Sequence[int], batch: int, seq: int) -> Tensor:
    """`batch` passages of `seq` tokens, evenly spread over the text: int64 [batch, seq].

    A passage that runs past the end goes on from the beginning.

    >>> token_rows([5, 6, 7, 8], batch=2, seq=3).tolist()
    [[5, 6, 7], [7, 8, 5]]
    """
    if not ids:
        raise ValueError("token_rows: ids is empty")
    start = torch.arange(batch) * len(ids) // batch
    index = (start[:, None] + torch.arange(seq)) % len(ids)
    return torch.tensor(ids)[index]
