"""The encoder of a run: learned once, by the first process, and kept in `--out`.

defines: encoder_of, identity
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from examples.training import distributed, encode
from examples.training.encode import Encoder, Text
from examples.training.options import TextOptions

_ABOUT = "learned_from"


def encoder_of(options: TextOptions, data: str, texts: Iterable[Text]) -> Encoder:
    """Learn the encoder of the texts, or with `--resume` read that of the run in `--out`.

    `tokenizers` learns another unigram model in every process, even from the same texts. So no
    process but the first learns one, and a resumed run learns none.

    Args:
        options: the flags.
        data: hash of the data set.
        texts: of the training split.
    """
    content = None
    if distributed.is_first():
        folder = Path(options.out)
        about = {"data": data, "units": options.units, "vocabulary": options.vocabulary}
        found = _kept(folder, about) if options.resume else None
        if found is None:
            found = _learned(options, texts)
            encode.save(found, folder, **{_ABOUT: about})
        content = encode.content(found)
    return encode.of_content(distributed.of_first(content))


def identity(encoder: Encoder | None) -> str | None:
    """A hash of an encoder; None for data that needs none."""
    if encoder is None:
        return None
    content = json.dumps(encode.content(encoder), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _kept(folder: Path, about: dict[str, Any]) -> Encoder | None:
    """The encoder in a folder, if there is one.

    If it was learned from something else than `about` says, the program ends: the run in the folder
    cannot go on with another one, so nothing may take its place.
    """
    path = folder / encode.FILE
    if not path.exists():
        return None
    encoder = encode.read(folder)
    theirs = json.loads(path.read_text(encoding="utf-8")).get(_ABOUT) or {}
    for name, value in about.items():
        if theirs.get(name) != value:
            said = "on data of SHA-256 {:.12}" if name == "data" else f"with --{name} {{}}"
            was, now = (said.format(str(values.get(name))) for values in (theirs, about))
            raise SystemExit(
                f"{path} is of a run {was}, not {now}: give the same, or another --out"
            )
    return encoder


def _learned(options: TextOptions, texts: Iterable[Text]) -> Encoder:
    try:
        return encode.learn(options.units, texts, options.vocabulary)
    except ValueError as error:
        raise SystemExit(f"--vocabulary {options.vocabulary}: {error}") from None
