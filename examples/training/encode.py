"""Texts as ids of tokens: bytes, words, or the pieces of a unigram model.

defines: CLS, FIRST, MASK, PADDING, SEP, UNKNOWN, Encoder, learn, read
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Ids with a meaning; those of tokens start at FIRST.
PADDING, CLS, SEP, UNKNOWN, MASK, FIRST = range(6)
SPECIAL = ("<pad>", "[CLS]", "[SEP]", "<unk>", "[MASK]")
FILE = "encoder.json"
_WORD = re.compile(r"\w+|[^\w\s]")

Text = str | bytes
Ids = NDArray[np.int32]


class Encoder(Protocol):
    """Makes ids of texts.

    `units` is the name of the flag's value, `vocabulary` the number of ids.
    """

    units: str
    vocabulary: int

    def encode(self, texts: Iterable[Text], most: int) -> list[Ids]:
        """The ids of each text, at most `most` of each, without special ones."""

    def content(self) -> dict[str, Any]:
        """What `read` needs to make this again."""


class Bytes:
    """Each byte of the text in UTF-8 is a token."""

    units = "bytes"
    vocabulary = FIRST + 256

    def encode(self, texts: Iterable[Text], most: int) -> list[Ids]:
        raw = (text if isinstance(text, bytes) else text.encode() for text in texts)
        return [np.frombuffer(text[:most], np.uint8).astype(np.int32) + FIRST for text in raw]

    def content(self) -> dict[str, Any]:
        return {}


class Words:
    """The most frequent words in lower case, and single punctuation marks."""

    units = "words"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self.vocabulary = FIRST + len(self.words)
        self._ids = {word: FIRST + i for i, word in enumerate(self.words)}

    @classmethod
    def learn(cls, texts: Iterable[Text], vocabulary: int) -> Words:
        """Keep the words that occur at least twice, the most frequent `vocabulary` - FIRST."""
        counts = Counter(chain.from_iterable(_WORD.findall(_string(t).lower()) for t in texts))
        frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls([word for word, n in frequent[: max(0, vocabulary - FIRST)] if n > 1])

    def encode(self, texts: Iterable[Text], most: int) -> list[Ids]:
        get = self._ids.get
        split = (_WORD.findall(_string(text).lower())[:most] for text in texts)
        return [np.array([get(word, UNKNOWN) for word in words], np.int32) for words in split]

    def content(self) -> dict[str, Any]:
        return {"words": self.words}


class Unigram:
    """Pieces of words by a unigram language model (arXiv 1804.10959), of `tokenizers`."""

    units = "unigram"

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.vocabulary: int = tokenizer.get_vocab_size()

    @classmethod
    def learn(cls, texts: Iterable[Text], vocabulary: int) -> Unigram:
        library = _tokenizers()
        tokenizer = library.Tokenizer(library.models.Unigram())
        tokenizer.normalizer = library.normalizers.NFKC()
        tokenizer.pre_tokenizer = library.pre_tokenizers.Metaspace()
        tokenizer.decoder = library.decoders.Metaspace()
        trainer = library.trainers.UnigramTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL),
            unk_token=SPECIAL[UNKNOWN],
            show_progress=False,
        )
        tokenizer.train_from_iterator(map(_string, texts), trainer)
        return cls(tokenizer)

    @classmethod
    def of_content(cls, text: str) -> Unigram:
        return cls(_tokenizers().Tokenizer.from_str(text))

    def encode(self, texts: Iterable[Text], most: int) -> list[Ids]:
        batch = [_string(text) for text in texts]
        encoded = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        return [np.array(one.ids[:most], np.int32) for one in encoded]

    def content(self) -> dict[str, Any]:
        return {"tokenizer": self._tokenizer.to_str()}


def learn(units: str, texts: Iterable[Text], vocabulary: int) -> Encoder:
    """Make the encoder of `--units`, with a vocabulary of the training texts."""
    if units == "bytes":
        return Bytes()
    kind = Words if units == "words" else Unigram
    return kind.learn(texts, vocabulary)


def save(encoder: Encoder, folder: Path) -> None:
    """Write `encoder.json` into a folder."""
    content = {"units": encoder.units, **encoder.content()}
    (folder / FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read(folder: Path) -> Encoder:
    """Read what `save` wrote.

    Raises:
        FileNotFoundError: the folder has no `encoder.json`.
    """
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    if content["units"] == "words":
        return Words(content["words"])
    return Bytes() if content["units"] == "bytes" else Unigram.of_content(content["tokenizer"])


def _string(text: Text) -> str:
    return text if isinstance(text, str) else text.decode(errors="replace")


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise SystemExit("--units unigram needs tokenizers: pip install tokenizers") from None
    return tokenizers
