"""Mails of the SpamAssassin collection: wanted (ham) or not (spam)?

Headers and the footers of mailing lists give the class away, so a text is the subject and the body
without them. No thread is in two splits, and no two mails of about one length that share half of
their phrases.
"""

from __future__ import annotations

import contextlib
import email
import re
from email.header import decode_header, make_header
from email.message import Message
from html.parser import HTMLParser

from examples.corpora.archive import members
from examples.corpora.dataset import Dataset
from examples.corpora.documents import text_dataset
from examples.corpora.fetch import fetch
from examples.corpora.similar import groups
from examples.corpora.sources import SPAM_ASSASSIN
from examples.corpora.splits import folds

LONG = 2000  # bytes, which a text must exceed

#: Prefixes of a subject: the tag of a list, an answer, a forwarded mail.
_PREFIXES = re.compile(r"^(\s*(\[[^\]]*\]|(re|fwd?|aw)(\[\d+\])?:))+", re.IGNORECASE)
#: The first line of a signature or of a list's footer.
_FOOTER = re.compile(
    r"^(-- ?|_{20,}|-----BEGIN PGP SIGNATURE-----|To unsubscribe .*|.*mailman/listinfo.*"
    r"|.*Yahoo! Groups Sponsor.*|.*sf\.net email is sponsored.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_RULE = "-\n "  # what a drawn line leaves at the end


def mails(fold: int = 0) -> Dataset:
    """Mails of more than 2,000 bytes, one of each text."""
    found: dict[str, tuple[str, set[str]]] = {}
    for name, content in members(fetch(SPAM_ASSASSIN), lambda name: name.endswith(".txt")):
        message = email.message_from_bytes(content)
        text = text_of(message)
        if len(text.encode()) > LONG:
            found.setdefault(text, ("ham" if "ham" in name else "spam", thread_keys(message)))
    documents = [(text, name) for text, (name, _) in found.items()]
    group = groups(list(found), [keys for _, keys in found.values()], share=0.5)
    return text_dataset("mails", *folds(documents, group, fold), source=SPAM_ASSASSIN.source)


def text_of(message: Message) -> str:
    """The subject and the body, the first plain text or else the first page of HTML."""
    parts = {part.get_content_type(): part for part in reversed(list(message.walk()))}
    if "text/plain" in parts:
        body = _decoded(parts["text/plain"])
    elif "text/html" in parts:
        body = text_of_html(_decoded(parts["text/html"]))
    else:
        body = ""
    footer = _FOOTER.search(body)
    body = body[: footer.start()] if footer else body
    return f"{subject(message)}\n\n{body.strip().rstrip(_RULE)}"


def subject(message: Message) -> str:
    """The subject without what lists and answers put before it."""
    raw = str(message.get("Subject", ""))
    with contextlib.suppress(LookupError, ValueError):  # an unknown character set, a broken header
        raw = str(make_header(decode_header(raw)))
    return _PREFIXES.sub("", raw).strip()


def thread_keys(message: Message) -> set[str]:
    """Names that two mails of one thread have in common: the subject, and mails they refer to."""
    fields = (str(message.get(name, "")) for name in ("Message-Id", "In-Reply-To", "References"))
    keys = set(re.findall(r"<[^<>\s]+>", " ".join(fields)))
    words = " ".join(subject(message).lower().split())
    return keys | {words} if words else keys


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    try:
        text = content.decode(part.get_content_charset() or "latin-1")
    except (LookupError, UnicodeDecodeError):  # an unknown or a wrong character set
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n")


def text_of_html(page: str) -> str:
    """The text that a browser would show, with single spaces."""
    parser = _Text()
    parser.feed(page)
    parser.close()
    return " ".join(" ".join(parser.found).split())


class _Text(HTMLParser):
    hidden = ("script", "style", "title")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self.hidden:
            self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.found.append(data)
