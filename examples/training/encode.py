"""Texts as ids of tokens: bytes, words, or the pieces of a unigram model.

defines: CLS, FIRST, MASK, PADDING, SEP, UNKNOWN, Encoder, content, learn, of_content, read, save,
    save_beside
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from examples.training.failures import replacing

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
        tokenizer.encode_special_tokens = True  # a "<pad>" in a text is text
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
        try:
            tokenizer.train_from_iterator(map(_string, texts), trainer)
        except Exception as error:  # the class of all errors of `tokenizers`
            raise ValueError(str(error)) from None
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
    """Make the encoder of `--units`, with a vocabulary of the training texts.

    Raises:
        ValueError: the vocabulary has no room for a word, or no word occurs twice.
    """
    if units == "bytes":
        return Bytes()
    if vocabulary <= FIRST:
        raise ValueError(f"expected more than the {FIRST} special tokens")
    kind = Words if units == "words" else Unigram
    learned = kind.learn(texts, vocabulary)
    if learned.vocabulary <= FIRST:
        raise ValueError("the training texts have no word that occurs twice")
    return learned


def content(encoder: Encoder) -> dict[str, Any]:
    """What `of_content` needs to make the encoder again, in the types of JSON."""
    return {"units": encoder.units, **encoder.content()}


def of_content(values: dict[str, Any]) -> Encoder:
    """The encoder with this `content`."""
    if values["units"] == "words":
        return Words(values["words"])
    return Bytes() if values["units"] == "bytes" else Unigram.of_content(values["tokenizer"])


def save(encoder: Encoder, folder: Path, **about: Any) -> None:
    """Write `encoder.json` into a folder, with what else it shall say."""
    text = json.dumps({**content(encoder), **about}, ensure_ascii=False)
    with replacing(folder / FILE) as file:
        file.write(text.encode())


def save_beside(encoder: Encoder, model: Path, seq: int, data: Mapping[str, Any]) -> None:
    """Write `encoder.json` beside a model, with what `examples.predict` needs of the run.

    Args:
        encoder: of the texts the model has learned.
        model: folder of the model.
        seq: tokens after which an example was cut off.
        data: of the header of the log; that of a pre-training has no labels.
    """
    save(encoder, model, seq=seq, labels=data.get("labels"), pairs=data.get("pairs"))


def read(folder: Path) -> Encoder:
    """Read what `save` wrote. A damaged file ends the program.

    Raises:
        FileNotFoundError: the folder has no `encoder.json`.
    """
    path = folder / FILE
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return of_content(json.loads(text))
    except Exception as error:  # the class of all errors of `tokenizers`
        raise SystemExit(f"{path} is not an encoder: {error}".splitlines()[0]) from None


def _string(text: Text) -> str:
    return text if isinstance(text, str) else text.decode(errors="replace")


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise SystemExit("--units unigram needs tokenizers: pip install tokenizers") from None
    return tokenizers
